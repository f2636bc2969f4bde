"""GGUF there and back, against numpy and the `gguf` package, and damaged."""

from __future__ import annotations

import struct
from dataclasses import replace
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pytest

from jaxdec.config.model import DecoderConfig
from jaxdec.config.parts import MLP, GatedMLP, RMSNorm
from jaxdec.config.positions import LinearScaling, Llama3Scaling, RoPE
from jaxdec.data.tokenizers.registry import BPETokenizer, CharTokenizer, SentencePieceTokenizer
from jaxdec.errors import UserError
from jaxdec.weights.formats.base import Lazy
from jaxdec.weights.formats.gguf_file import open_gguf, write_gguf
from jaxdec.weights.formats.registry import open_model, write_model
from tests.data.tokenizers.vocabularies import scored_pieces
from tests.weights.formats.loading import TOKENS, logits_of, params_of, random_params, there_and_back
from tests.weights.formats.numpy_models import gpt2_logits, llama_logits

GPT2 = DecoderConfig(layers=2, heads=2, width=16, context=8, vocab_size=11, mlp=MLP(hidden=64))
LLAMA = DecoderConfig(
    layers=2, heads=4, kv_heads=2, head_dim=4, width=16, context=8, vocab_size=11, position=RoPE(),
    norm=RMSNorm(1e-5), mlp=GatedMLP(24), bias=False, tied_head=False,
)  # fmt: skip
# GGUF's names, and Llama's own.
LLAMA_NAMES = {
    "attn_norm": "attention_norm", "ffn_norm": "ffn_norm", "attn_q": "attention.wq", "attn_k": "attention.wk",
    "attn_v": "attention.wv", "attn_output": "attention.wo", "ffn_gate": "feed_forward.w1",
    "ffn_down": "feed_forward.w2", "ffn_up": "feed_forward.w3",
}  # fmt: skip
GPT2_NAMES = {
    "attn_norm": "ln_1", "ffn_norm": "ln_2", "attn_qkv": "attn.c_attn", "attn_output": "attn.c_proj",
    "ffn_up": "mlp.c_fc", "ffn_down": "mlp.c_proj",
}  # fmt: skip
OUTSIDE = {"token_embd": "tok_embeddings", "output_norm": "norm", "output": "output"}


def lazy(arrays: dict[str, np.ndarray]) -> dict[str, Any]:

    return {name: Lazy(a.shape, a.dtype.name, lambda a=a: a) for name, a in arrays.items()}


def llama_arrays(tied: bool) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(5)
    sizes: dict[str, tuple[int, ...]] = {"attn_norm": (16,), "ffn_norm": (16,), "attn_q": (16, 16), "attn_k": (8, 16)}
    sizes |= {"attn_v": (8, 16), "attn_output": (16, 16), "ffn_gate": (24, 16), "ffn_down": (16, 24)}
    sizes |= {"ffn_up": (24, 16)}
    names = {f"blk.{i}.{name}": shape for i in range(2) for name, shape in sizes.items()}
    names |= {"token_embd": (11, 16), "output_norm": (16,)} | ({} if tied else {"output": (11, 16)})
    return {f"{name}.weight": (rng.normal(size=shape) * 0.3).astype(np.float32) for name, shape in names.items()}


LLAMA_SETTINGS: dict[str, Any] = {
    "context_length": 8, "embedding_length": 16, "block_count": 2, "feed_forward_length": 24, "attention.head_count": 4,
    "attention.head_count_kv": 2, "attention.layer_norm_rms_epsilon": 1e-5, "rope.dimension_count": 4,
}  # fmt: skip


def own_name(name: str) -> str:
    """Llama's own name for GGUF's."""
    parts = name.split(".")
    if parts[0] == "blk":
        return f"layers.{parts[1]}.{LLAMA_NAMES[parts[2]]}.weight"
    return f"{OUTSIDE[parts[0]]}.weight"


@pytest.mark.parametrize("tied", [True, False])
def test_a_llama_of_the_package_has_the_same_logits(tmp_path: Path, tied: bool) -> None:
    package = pytest.importorskip("gguf")
    path, arrays = tmp_path / "model.gguf", llama_arrays(tied)
    writer = package.GGUFWriter(path, "llama")
    for key, value in LLAMA_SETTINGS.items():
        add = writer.add_float32 if isinstance(value, float) else writer.add_uint32
        add(f"llama.{key}", value)
    for name, array in arrays.items():
        writer.add_tensor(name, array)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    model = open_model(tmp_path)
    assert (model.format, model.config) == ("gguf", replace(LLAMA, tied_head=tied)) and model.tokenizer is None
    theirs = llama_logits({own_name(name): array.astype(float) for name, array in arrays.items()}, TOKENS, 2, 4, 2)
    assert np.abs(logits_of(model) - theirs).max() <= 1e-11 and np.ptp(theirs) > 1


@pytest.mark.parametrize("config", [LLAMA, replace(LLAMA, tied_head=True), GPT2], ids=["llama", "tied", "gpt2"])
def test_the_package_reads_what_is_written(tmp_path: Path, config: DecoderConfig) -> None:
    package = pytest.importorskip("gguf")
    model = there_and_back("gguf", tmp_path / "out.gguf", config)
    assert model.config == config
    reader = package.GGUFReader(tmp_path / "out.gguf")
    arrays = {tensor.name: np.array(tensor.data, float) for tensor in reader.tensors}
    if config.bias:
        names = {"token_embd": "wte", "position_embd": "wpe", "output_norm": "ln_f"}
        theirs = {ours: gguf for gguf, ours in names.items()}
        theirs |= {f"h.{i}.{ours}": f"blk.{i}.{gguf}" for i in range(2) for gguf, ours in GPT2_NAMES.items()}

        def weight(name: str) -> np.ndarray:
            module, _, kind = name.rpartition(".")
            return arrays[f"{theirs[module]}.{kind}"]

        expected = gpt2_logits(weight, TOKENS, 2, 2)
    else:
        expected = llama_logits({own_name(name): array for name, array in arrays.items()}, TOKENS, 2, 4, 2)
    assert np.abs(logits_of(model) - expected).max() <= 1e-11 and np.ptp(expected) > 1


@pytest.mark.parametrize("dtype", [np.float16, ml_dtypes.bfloat16])
def test_short_numbers_stay_short_in_matrices(tmp_path: Path, dtype: Any) -> None:
    params = random_params(LLAMA, dtype)
    write_model("gguf", tmp_path / "out", params, LLAMA)
    found = params_of(open_model(tmp_path / "out"))
    for name, array in params.items():
        assert found[name].dtype == (np.dtype(dtype) if array.ndim > 1 else np.float32), name
        assert (found[name].astype(np.float32) == array.astype(np.float32)).all()
    with pytest.raises(UserError, match=r"gguf stores .*, and the parameters are in float64"):
        write_model("gguf", tmp_path / "wide", random_params(LLAMA, np.float64), LLAMA)


TEXT = "a cat sat on a mat and a hat sat on a cat. " * 3


@pytest.mark.parametrize(
    "tokenizer",
    [SentencePieceTokenizer(scored_pieces(TEXT, 9)), BPETokenizer.train(TEXT, 270), CharTokenizer.train(TEXT)],
    ids=["sentencepiece", "bpe", "char"],
)
@pytest.mark.parametrize("padding", [0, 3])
def test_a_tokenizer_comes_along(tmp_path: Path, tokenizer: Any, padding: int) -> None:
    config = replace(GPT2, vocab_size=tokenizer.vocab_size + padding)
    write_model("gguf", tmp_path / "out", random_params(config), config, tokenizer)
    assert (tmp_path / "out" / "tokenizer.json").exists() == isinstance(tokenizer, CharTokenizer)
    model = open_model(tmp_path / "out")
    found = model.tokenizer
    assert found is not None and found.hash == tokenizer.hash
    if tokenizer.kind != "char":
        metadata = open_gguf(tmp_path / "out" / "model.gguf").metadata
        assert len(metadata["tokenizer.ggml.tokens"]) == config.vocab_size


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"position": RoPE(scaling=Llama3Scaling(16))}, "model.position.scaling = Llama3Scaling"),
        ({"norm": RMSNorm(1.23456789e-5)}, "model.norm.epsilon = 1.23456789e-05"),
        ({"qk_norm": RMSNorm()}, "model.qk_norm = RMSNorm"),
        ({"attention_bias": True}, "model.attention_bias = True"),
        ({"mlp": MLP()}, "model.mlp = MLP"),
        ({"position": RoPE(channels=2)}, "model.position.channels = 2"),
    ],
)
def test_what_does_not_fit_is_named(tmp_path: Path, change: Any, expected: str) -> None:
    config = replace(LLAMA, **change)
    with pytest.raises(UserError, match=expected):
        write_model("gguf", tmp_path / "out", random_params(config), config)
    assert not list(tmp_path.iterdir())


def test_linear_scaling_comes_back(tmp_path: Path) -> None:
    config = replace(LLAMA, position=RoPE(500_000.0, scaling=LinearScaling(2.5)))
    assert there_and_back("gguf", tmp_path / "out", config).config == config


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"general.architecture": "mamba"}, "architecture 'mamba', which is not read from GGUF: llama and gpt2 are"),
        ({"llama.block_count": None}, "says no llama.block_count"),
        ({"llama.block_count": 2.5}, "llama.block_count is 2.5"),
        ({"llama.attention.layer_norm_rms_epsilon": "x"}, "which is no number"),
        ({"llama.rope.scaling.type": "yarn"}, "rope.scaling.type 'yarn' is not read"),
        ({"llama.rope.dimension_count": 2}, "that turn in part, are not read"),
        ({"llama.expert_count": 8}, "mixtures of experts"),
        ({"tokenizer.ggml.model": "t5"}, "a tokenizer t5 .default. is not read from GGUF"),
        ({"tokenizer.ggml.model": "gpt2", "tokenizer.ggml.pre": "qwen2"}, "a tokenizer gpt2 .qwen2. is not read"),
        ({"tokenizer.ggml.model": "llama"}, "its tokenizer is damaged"),
        ({"tokenizer.ggml.model": "gpt2", "tokenizer.ggml.tokens": ["a"], "tokenizer.ggml.merges": ["a b"]}, "damaged"),
        ({"general.alignment": 0}, "its alignment is 0"),
    ],
)
def test_what_metadata_may_not_say(tmp_path: Path, changes: Any, expected: str) -> None:
    settings = {"general.architecture": "llama", **{f"llama.{key}": value for key, value in LLAMA_SETTINGS.items()}}
    metadata = {key: value for key, value in {**settings, **changes}.items() if value is not None}
    write_gguf(tmp_path / "a.gguf", metadata, lazy(llama_arrays(True)))
    with pytest.raises(UserError, match=expected) as caught:
        open_model(tmp_path / "a.gguf")
    assert "a.gguf" in str(caught.value) and "\n" not in str(caught.value)


def raw(tensors: bytes, count: int = 1, data: bytes = bytes(64), version: int = 3, pairs: bytes = b"") -> bytes:
    header = b"GGUF" + struct.pack("<IQQ", version, count, 1 if pairs else 0) + pairs + tensors
    return header.ljust(-(-len(header) // 32) * 32, b"\0") + data


def described(name: bytes, shape: tuple[int, ...], kind: int = 0, offset: int = 0) -> bytes:
    sizes = struct.pack(f"<I{len(shape)}Q", len(shape), *shape)
    return struct.pack("<Q", len(name)) + name + sizes + struct.pack("<IQ", kind, offset)


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"GGML" + bytes(60), "does not start with GGUF"),
        (raw(b"", version=1), "GGUF in version 1; 2 and 3 are read"),
        (raw(described(b"w", (8,), 12)), r"w is quantised \(Q4_K\): convert the model to F32, F16 or BF16 first"),
        (raw(described(b"w", (8,), 99)), r"w is quantised \(the unknown kind 99\)"),
        (raw(described(b"w", (99,))), "w .99,. lies at byte"),
        (raw(described(b"w", (2**40, 2**40))), "lies at byte"),
        (raw(described(b"w", (8,), 0, 8)), "lies at byte"),
        (raw(described(b"v", (16,)) + described(b"w", (8,), 0, 32), 2), "w .8,. lies at byte"),
        (raw(described(b"w", (8,)) + described(b"w", (8,), 0, 32), 2), "w .8,. lies at byte"),
        (raw(described(b"w", (8,)), data=bytes(99)), "bytes at its end belong to no tensor"),
        (raw(described(b"w", (1,) * 9)), "w has 9 axes"),
        (raw(described(b"\xff", (8,))), "does not hold together"),
        (raw(b"", 2**60), "ends too early"),
        (raw(b"", pairs=struct.pack("<QcI", 1, b"a", 13)), "its value a is of the unknown kind 13"),
        (raw(b"", pairs=struct.pack("<QcIIQ", 1, b"a", 9, 4, 2**61)), "ends too early"),
        (raw(b"", pairs=struct.pack("<QcIIQ", 1, b"a", 9, 8, 2**61)), "ends too early"),
        (raw(b"", pairs=struct.pack("<QcI", 1, b"a", 9) + struct.pack("<IQ", 9, 1) * 9), "unknown kind 9"),
    ],
)
def test_headers_that_are_refused(tmp_path: Path, content: bytes, expected: str) -> None:
    (tmp_path / "a.gguf").write_bytes(content)
    with pytest.raises(UserError, match=expected) as caught:
        open_model(tmp_path / "a.gguf")
    assert "a.gguf" in str(caught.value) and "\n" not in str(caught.value)


def test_a_file_cut_anywhere_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.gguf"
    write_model("gguf", path, random_params(LLAMA), LLAMA)
    content = path.read_bytes()
    for length in [*range(0, len(content), 61), len(content) - 1]:
        path.write_bytes(content[:length])
        with pytest.raises(UserError, match="is damaged") as caught:
            open_model(path)
        assert "\n" not in str(caught.value)


def test_what_is_missing_is_listed(tmp_path: Path) -> None:
    arrays = llama_arrays(True)
    del arrays["blk.1.ffn_up.weight"]
    arrays["rope_freqs.weight"] = np.ones(2, np.float32)
    settings = {"general.architecture": "llama", **{f"llama.{key}": value for key, value in LLAMA_SETTINGS.items()}}
    write_gguf(tmp_path / "a.gguf", settings, lazy(arrays))
    with pytest.raises(UserError) as caught:
        params_of(open_model(tmp_path / "a.gguf"))
    assert "blk.1.ffn_up.weight" in " ".join(caught.value.details)
    assert "rope_freqs.weight" in " ".join(caught.value.details)
