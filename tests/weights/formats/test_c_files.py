"""Model files of llm.c and llama2.c, there and back, against numpy, and damaged."""

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
from jaxdec.config.positions import LinearScaling, RoPE
from jaxdec.data.tokenizers.sentencepiece import SentencePieceTokenizer
from jaxdec.errors import UserError
from jaxdec.weights.formats.registry import open_model, write_model
from tests.data.tokenizers.vocabularies import scored_file, scored_pieces
from tests.weights.formats.loading import TOKENS, logits_of, params_of, random_params, there_and_back
from tests.weights.formats.numpy_models import gpt2_logits, llama_logits

GPT2 = DecoderConfig(layers=2, heads=2, width=16, context=8, vocab_size=11)
LLAMA = DecoderConfig(
    layers=2, heads=4, kv_heads=2, width=16, context=8, vocab_size=11, position=RoPE(), norm=RMSNorm(1e-5),
    mlp=GatedMLP(24), bias=False, tied_head=False,
)  # fmt: skip


def numbers(rng: np.random.Generator, *shape: int) -> np.ndarray:
    return (rng.normal(size=shape) * 0.3).astype(np.float32)


def llmc_file(path: Path, padded: int = 128) -> dict[str, np.ndarray]:
    """A file of llm.c as its train_gpt2.py lays it out, and its tensors by name."""
    rng, d = np.random.default_rng(1), 16
    names = {"wte.weight": numbers(rng, padded, d), "wpe.weight": numbers(rng, 8, d)}
    names["wte.weight"][11:] = 0
    for kind, shape in (
        ("ln_1.weight", (d,)), ("ln_1.bias", (d,)), ("attn.c_attn.weight", (3 * d, d)), ("attn.c_attn.bias", (3 * d,)),
        ("attn.c_proj.weight", (d, d)), ("attn.c_proj.bias", (d,)), ("ln_2.weight", (d,)), ("ln_2.bias", (d,)),
        ("mlp.c_fc.weight", (4 * d, d)), ("mlp.c_fc.bias", (4 * d,)), ("mlp.c_proj.weight", (d, 4 * d)),
        ("mlp.c_proj.bias", (d,)),
    ):  # fmt: skip
        names |= {f"h.{layer}.{kind}": numbers(rng, *shape) for layer in range(2)}
    names |= {"ln_f.weight": numbers(rng, d), "ln_f.bias": numbers(rng, d)}
    header = struct.pack("<8i", 20240326, 3, 8, 11, 2, 2, d, padded).ljust(1024, b"\0")
    path.write_bytes(header + b"".join(array.tobytes() for array in names.values()))
    return names


@pytest.mark.parametrize("padded", [11, 128])
def test_llmc_has_the_same_logits(tmp_path: Path, padded: int) -> None:
    tensors = llmc_file(tmp_path / "model.bin", padded)
    model = open_model(tmp_path / "model.bin")
    assert (model.format, model.config) == ("llm.c", GPT2)
    theirs = gpt2_logits(lambda name: tensors[name].astype(float), TOKENS, 2, 2)[..., :11]
    assert np.abs(logits_of(model) - theirs).max() <= 1e-11 and np.ptp(theirs) > 1


@pytest.mark.parametrize(("dtype", "version"), [(np.float32, 3), (ml_dtypes.bfloat16, 5)])
def test_llmc_there_and_back(tmp_path: Path, dtype: Any, version: int) -> None:
    model = there_and_back("llm.c", tmp_path / "out", GPT2, dtype)
    assert model.config == GPT2 and model.tokenizer is None
    header = np.fromfile(tmp_path / "out" / "model.bin", np.int32, 8).tolist()
    assert header == [20240326, version, 8, 11, 2, 2, 16, 128]


def test_llmc_writes_the_file_that_it_was_read_from(tmp_path: Path) -> None:
    llmc_file(tmp_path / "a.bin")
    model = open_model(tmp_path / "a.bin")
    write_model("llm.c", tmp_path / "b.bin", params_of(model), model.config)
    assert (tmp_path / "a.bin").read_bytes() == (tmp_path / "b.bin").read_bytes()


def llama_file(path: Path, version: int, tied: bool) -> dict[str, np.ndarray]:
    """A file of llama2.c as its export.py lays it out, and its tensors by name."""
    rng, d, kv, hidden = np.random.default_rng(2), 16, 8, 24

    def layers(*kinds: tuple[str, tuple[int, ...]]) -> dict[str, np.ndarray]:
        return {f"layers.{i}.{kind}.weight": numbers(rng, *shape) for kind, shape in kinds for i in range(2)}

    embedding = {"tok_embeddings.weight": numbers(rng, 11, d)}
    wq, wk, wv = ("attention.wq", (d, d)), ("attention.wk", (kv, d)), ("attention.wv", (kv, d))
    attention = (wq, wk, wv, ("attention.wo", (d, d)))
    w1, w2, w3 = ("feed_forward.w1", (hidden, d)), ("feed_forward.w2", (d, hidden)), ("feed_forward.w3", (hidden, d))
    before, after, final = ("attention_norm", (d,)), ("ffn_norm", (d,)), {"norm.weight": numbers(rng, d)}
    if version == 0:
        names = embedding | layers(before, *attention, after, w1, w2, w3) | final
        names |= {"cos": numbers(rng, 8, 2), "sin": numbers(rng, 8, 2)}
        header = struct.pack("<7i", d, hidden, 2, 4, 2, 11 if tied else -11, 8)
    else:
        names = layers(before, after) | final | embedding | layers(*attention, w1, w2, w3)
        header = struct.pack("<Ii7iB", 0x616B3432, version, d, hidden, 2, 4, 2, 11, 8, tied).ljust(256, b"\0")
    names |= {} if tied else {"output.weight": numbers(rng, 11, d)}
    path.write_bytes(header + b"".join(array.tobytes() for array in names.values()))
    return names


@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize("version", [0, 1])
def test_llama2c_has_the_same_logits(tmp_path: Path, version: int, tied: bool) -> None:
    tensors = llama_file(tmp_path / "model.bin", version, tied)
    model = open_model(tmp_path / "model.bin")
    assert (model.format, model.config) == ("llama2.c", replace(LLAMA, tied_head=tied))
    theirs = llama_logits({name: array.astype(float) for name, array in tensors.items()}, TOKENS, 2, 4, 2)
    assert np.abs(logits_of(model) - theirs).max() <= 1e-11 and np.ptp(theirs) > 1


@pytest.mark.parametrize("tied", [True, False])
def test_llama2c_there_and_back(tmp_path: Path, tied: bool) -> None:
    there_and_back("llama2.c", tmp_path / "out", replace(LLAMA, tied_head=tied))
    header = np.fromfile(tmp_path / "out" / "model.bin", np.int32, 7).tolist()
    assert header == [16, 24, 2, 4, 2, 11 if tied else -11, 8]


def test_llama2c_writes_all_but_the_tables_of_the_file_that_it_was_read_from(tmp_path: Path) -> None:
    llama_file(tmp_path / "a.bin", 0, False)
    model = open_model(tmp_path / "a.bin")
    write_model("llama2.c", tmp_path / "b.bin", params_of(model), model.config)
    one, other = (np.fromfile(tmp_path / name, np.int32) for name in ("a.bin", "b.bin"))
    tables = slice(len(one) - 11 * 16 - 2 * 8 * 2, len(one) - 11 * 16)
    assert (np.delete(one, tables) == np.delete(other, tables)).all()
    angles = np.outer(np.arange(8), [1.0, 0.01])
    expected = np.concatenate([np.cos(angles), np.sin(angles)]).astype(np.float32).ravel()
    assert (other[tables].view(np.float32) == expected).all()


@pytest.mark.parametrize(
    ("name", "make"),
    [("llm.c", llmc_file), ("llama2.c", lambda path: llama_file(path, 0, False)),
     ("llama2.c", lambda path: llama_file(path, 1, True))],
    ids=["llm.c", "version 0", "version 1"],
)  # fmt: skip
def test_a_file_cut_anywhere_or_too_long_is_refused(tmp_path: Path, name: str, make: Any) -> None:
    path = tmp_path / "model.bin"
    make(path)
    content = path.read_bytes()
    assert open_model(path).format == name
    step = max(1, len(content) // 300)
    for cut in [*(content[:length] for length in range(0, len(content), step)), content[:-1], content + b"\0"]:
        path.write_bytes(cut)
        with pytest.raises(UserError, match=r"is damaged|no weights of a known format") as caught:
            open_model(path)
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize("make", [llmc_file, lambda path: llama_file(path, 1, True)])
def test_a_changed_header_is_refused_or_of_another_size(tmp_path: Path, make: Any) -> None:
    path = tmp_path / "model.bin"
    make(path)
    content = path.read_bytes()
    for place in range(4, 40 if make is not llmc_file else 32):
        for byte in (0, 3, 255):
            changed = bytearray(content)
            changed[place] = byte
            path.write_bytes(changed)
            try:
                model = open_model(path)
            except UserError as error:
                assert "\n" not in str(error)  # noqa: PT017  (what is not refused must be a whole model)
            else:
                params_of(model)


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (struct.pack("<8i", 20240326, 1, 8, 11, 2, 2, 16, 0), "llm.c in version 1; 3 .float32. and 5"),
        (struct.pack("<8i", 20240326, 3, 8, 11, 2, 3, 16, 128), "its header says Sizes"),
        (struct.pack("<8i", 20240326, 3, 8, 11, 2**30, 2, 16, 128), "before the end of"),
        (struct.pack("<Ii7iB", 0x616B3432, 2, 16, 24, 2, 4, 2, 11, 8, 1), "version 2, quantised to int8"),
        (struct.pack("<Ii7iB", 0x616B3432, 7, 16, 24, 2, 4, 2, 11, 8, 1), "version 7; 0 and 1 are read"),
        (struct.pack("<Ii7iB", 0x616B3432, 1, 16, 24, 2, 3, 2, 11, 8, 1), "its header says Sizes"),
        (struct.pack("<Ii7iB", 0x616B3432, 1, 16, 24, 2, 4, 2, 11, 8, 9), "its header says Sizes"),
    ],
)
def test_headers_that_are_refused(tmp_path: Path, content: bytes, expected: str) -> None:
    (tmp_path / "model.bin").write_bytes(content.ljust(1024, b"\0"))
    with pytest.raises(UserError, match=expected):
        open_model(tmp_path / "model.bin")


@pytest.mark.parametrize(
    ("name", "config", "change", "expected"),
    [
        ("llm.c", GPT2, {"bias": False}, r"model\.(norm\.)?bias = False"),
        ("llm.c", GPT2, {"tied_head": False}, "model.tied_head = False"),
        ("llm.c", GPT2, {"mlp": MLP(4, "relu")}, "model.mlp.activation = 'relu'"),
        ("llama2.c", LLAMA, {"norm": RMSNorm(1e-6)}, "model.norm.epsilon = 1e-06"),
        ("llama2.c", LLAMA, {"position": RoPE(500_000.0)}, "model.position.theta = 500000.0"),
        ("llama2.c", LLAMA, {"position": RoPE(scaling=LinearScaling(2.0))}, "model.position.scaling = "),
        ("llama2.c", LLAMA, {"mlp": MLP(4)}, "model.mlp = MLP"),
        ("llama2.c", LLAMA, {"qk_norm": RMSNorm()}, "model.qk_norm = RMSNorm"),
    ],
)
def test_what_does_not_fit_is_named(tmp_path: Path, name: str, config: Any, change: Any, expected: str) -> None:
    changed = replace(config, **change)
    with pytest.raises(UserError, match=expected):
        write_model(name, tmp_path / "out", random_params(changed), changed)
    assert not list(tmp_path.iterdir())


def test_numbers_that_would_be_rounded_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"llm\.c stores bfloat16 or float32, and the parameters are in float64"):
        write_model("llm.c", tmp_path / "out", random_params(GPT2, np.float64), GPT2)
    params = random_params(LLAMA, np.float16)
    write_model("llama2.c", tmp_path / "out.bin", params, LLAMA)
    found = params_of(open_model(tmp_path / "out.bin"))
    assert all((found[name] == params[name].astype(np.float32)).all() for name in params)


def test_llama2c_brings_its_tokenizer_and_takes_it_along(tmp_path: Path) -> None:
    content = scored_file("a cat and a hat " * 3, 8)
    config = replace(LLAMA, vocab_size=SentencePieceTokenizer(scored_pieces("a cat and a hat " * 3, 8)).vocab_size)
    write_model("llama2.c", tmp_path / "a", random_params(config), config)
    (tmp_path / "a" / "tokenizer.bin").write_bytes(content)
    tokenizer = open_model(tmp_path / "a").tokenizer
    assert tokenizer is not None and tokenizer.decode(tokenizer.encode("a hat")) == "a hat"
    write_model("llama2.c", tmp_path / "b", random_params(config), config, tokenizer)
    assert (tmp_path / "b" / "tokenizer.bin").read_bytes() == content
    write_model("torchref", tmp_path / "c", random_params(config), config, tokenizer)
    again = open_model(tmp_path / "c").tokenizer
    assert again is not None and again.hash == tokenizer.hash
    larger = replace(config, vocab_size=config.vocab_size + 1)
    with pytest.raises(UserError, match="has no padded vocabulary"):
        write_model("llama2.c", tmp_path / "d", random_params(larger), larger, tokenizer)
    write_model("llama2.c", tmp_path / "a" / "small.bin", random_params(LLAMA), LLAMA)
    with pytest.raises(UserError, match="it is another model's"):
        open_model(tmp_path / "a" / "small.bin")
