"""GGUF, llama.cpp's files, of the architectures llama and gpt2, in float32, float16 and bfloat16.

Llama's rotary pairs are neighbours there, where ours are halves of a head. Norms and biases are float32, as llama.cpp
wants them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from jaxdec.config.model import DecoderConfig
from jaxdec.config.parts import MLP, GatedMLP, LayerNorm, RMSNorm
from jaxdec.config.positions import Learned, LinearScaling, RoPE
from jaxdec.data.tokenizers.base import FILE as TOKENIZER
from jaxdec.data.tokenizers.base import Tokenizer
from jaxdec.errors import UserError
from jaxdec.weights.formats.base import Format, Lazy, StoredModel, StoredTensor
from jaxdec.weights.formats.consecutive import stored_kind
from jaxdec.weights.formats.fit import require_fit, save_tokenizer, tokenizer_beside, whole
from jaxdec.weights.formats.gguf_file import KINDS, MAGIC, Metadata, open_gguf, write_gguf
from jaxdec.weights.formats.gguf_tokenizer import tokenizer_metadata, tokenizer_of
from jaxdec.weights.huggingface.tables import Table, biases, kernels, rule_lines, scales, under, when
from jaxdec.weights.stream import their_tensors

NAME, FILE, SUFFIX = "gguf", "model.gguf", ".gguf"
HEAD, EMBEDDING = "output.weight", "token_embd.weight"
FILE_TYPES = {"float32": 0, "float16": 1, "bfloat16": 32}
MATRICES = {"attention.out": "attn_output", "mlp.up": "ffn_up", "mlp.down": "ffn_down"}
NORMS = {"attention_norm": "attn_norm", "mlp_norm": "ffn_norm"}


@dataclass(frozen=True)
class Architecture:
    """How models of one `general.architecture` are read from metadata, written to it, and named."""

    read: Callable[[Metadata, str, bool, Path], DecoderConfig]
    write: Callable[[DecoderConfig], Metadata]
    block: Callable[[DecoderConfig], Table]
    outside: Table


def rules_of(config: DecoderConfig, name: str) -> str:
    """The table for an architecture."""
    architecture = ARCHITECTURES[name]
    names = {
        "token_embed.embedding": EMBEDDING,
        **under("blocks.{i}.", "blk.{i}.", architecture.block(config)),
        **architecture.outside,
        **when(not config.tied_head, kernels({"head": "output"})),
    }
    return rule_lines([names])


def recognise(path: Path) -> bool:
    file = _file(path)
    try:
        with file.open("rb") as opened:
            return opened.read(4) == MAGIC or file.suffix == SUFFIX
    except OSError:
        return False


def open_model_file(path: Path) -> StoredModel:
    """The model of a file, or of model.gguf in a folder."""
    file = _file(path)
    found = open_gguf(file)
    tensors: dict[str, StoredTensor] = dict(found.tensors)
    name = str(found.metadata.get("general.architecture"))
    if name not in ARCHITECTURES:
        known = " and ".join(ARCHITECTURES)
        raise UserError(f"{file} is of the architecture {name!r}, which is not read from GGUF: {known} are")
    if EMBEDDING not in tensors or len(tensors[EMBEDDING].shape) != 2:
        raise UserError(f"{file} has no matrix {EMBEDDING}: it holds no whole model")
    tied = HEAD not in tensors or _same(tensors[HEAD], tensors[EMBEDDING])
    if tied:
        tensors.pop(HEAD, None)
    config = ARCHITECTURES[name].read(found.metadata, f"{name}.", tied, file)
    config = replace(config, vocab_size=tensors[EMBEDDING].shape[0])
    if (file.parent / TOKENIZER).is_file():
        tokenizer = tokenizer_beside(file, config.vocab_size or 0)
    else:
        tokenizer = tokenizer_of(found.metadata, config.vocab_size or 0, file)
    return StoredModel(NAME, path, config, rules_of(config, name), tensors, tokenizer)


def write(file: Path, params: Mapping[str, Any], config: DecoderConfig, tokenizer: Tokenizer | None) -> None:
    """A file that llama.cpp reads: matrices in the parameters' dtype, all else in float32."""
    name = "gpt2" if isinstance(config.position, Learned) else "llama"
    architecture = ARCHITECTURES[name]
    settings = architecture.write(config)
    read = {key: float(np.float32(value)) if type(value) is float else value for key, value in settings.items()}
    back = architecture.read(read, "", config.tied_head, file)
    require_fit(f"{NAME} ({name})", config, replace(back, vocab_size=config.vocab_size))
    shortest_first = sorted(KINDS.values(), key=lambda kind: kind.itemsize)
    kind = stored_kind(NAME, params, {kind.name: kind for kind in shortest_first if kind.name in FILE_TYPES})
    tensors = {
        key: Lazy(tensor.shape, kind.name if len(tensor.shape) > 1 else "float32", tensor.read)
        for key, tensor in their_tensors(rules_of(config, name), params).items()
    }
    general = {
        "general.architecture": name,
        "general.name": file.stem,
        "general.file_type": FILE_TYPES[kind.name],
        **{f"{name}.{key}": value for key, value in settings.items()},
        f"{name}.vocab_size": config.vocab_size,
    }
    described = tokenizer_metadata(tokenizer, config.vocab_size or 0)
    write_gguf(file, {**general, **described}, tensors)
    if not described:
        save_tokenizer(tokenizer, file)


def _read_llama(metadata: Metadata, at: str, tied: bool, file: Path) -> DecoderConfig:
    width, heads = whole(metadata, f"{at}embedding_length", file), whole(metadata, f"{at}attention.head_count", file)
    kv_heads = whole({f"{at}attention.head_count_kv": heads, **metadata}, f"{at}attention.head_count_kv", file)
    key, value = (metadata.get(f"{at}attention.{name}_length") for name in ("key", "value"))
    size = key or width // heads
    if value not in (None, size) or metadata.get(f"{at}rope.dimension_count", size) != size:
        raise UserError(f"{file}: heads of {size} channels with values of {value}, or that turn in part, are not read")
    if metadata.get(f"{at}expert_count"):
        raise UserError(f"{file}: {at}expert_count: mixtures of experts are not read from GGUF")
    return DecoderConfig(
        layers=whole(metadata, f"{at}block_count", file),
        heads=heads,
        kv_heads=kv_heads,
        head_dim=size,
        width=width,
        context=whole(metadata, f"{at}context_length", file),
        position=_read_rope(metadata, at, file),
        norm=RMSNorm(_number(metadata, f"{at}attention.layer_norm_rms_epsilon", file)),
        mlp=GatedMLP(whole(metadata, f"{at}feed_forward_length", file)),
        bias=False,
        tied_head=tied,
    )


def _read_rope(metadata: Metadata, at: str, file: Path) -> RoPE:
    kind = metadata.get(f"{at}rope.scaling.type", "none")
    if kind not in ("none", "linear"):
        raise UserError(f"{file}: {at}rope.scaling.type {kind!r} is not read from GGUF: none and linear are")
    factor = _number(metadata, f"{at}rope.scaling.factor", file) if kind == "linear" else 1.0
    theta = _number({f"{at}rope.freq_base": 10_000.0, **metadata}, f"{at}rope.freq_base", file)
    return RoPE(theta, scaling=None if factor == 1 else LinearScaling(factor))


def _write_llama(config: DecoderConfig) -> Metadata:
    position, size = config.position, config.resolved_head_dim
    settings = {
        "context_length": config.context,
        "embedding_length": config.width,
        "block_count": config.layers,
        "feed_forward_length": getattr(config.mlp, "hidden", None) or 1,
        "attention.head_count": config.heads,
        "attention.head_count_kv": config.resolved_kv_heads,
        "attention.key_length": size,
        "attention.value_length": size,
        "attention.layer_norm_rms_epsilon": float(getattr(config.norm, "epsilon", 1e-5)),
        "rope.dimension_count": size,
        "rope.freq_base": float(getattr(position, "theta", 10_000.0)),
    }
    if isinstance(scaling := getattr(position, "scaling", None), LinearScaling):
        settings |= {"rope.scaling.type": "linear", "rope.scaling.factor": float(scaling.factor)}
    return settings


def _block_llama(config: DecoderConfig) -> Table:
    return {
        "attention.query.kernel": f"attn_q.weight : halves({config.heads}) T",
        "attention.key.kernel": f"attn_k.weight : halves({config.resolved_kv_heads}) T",
        **kernels({"attention.value": "attn_v", "mlp.gate": "ffn_gate", **MATRICES}),
        **scales(NORMS),
    }


def _read_gpt2(metadata: Metadata, at: str, tied: bool, file: Path) -> DecoderConfig:
    return DecoderConfig(
        layers=whole(metadata, f"{at}block_count", file),
        heads=whole(metadata, f"{at}attention.head_count", file),
        width=whole(metadata, f"{at}embedding_length", file),
        context=whole(metadata, f"{at}context_length", file),
        norm=LayerNorm(_number(metadata, f"{at}attention.layer_norm_epsilon", file)),
        mlp=MLP(hidden=whole(metadata, f"{at}feed_forward_length", file), activation="gelu_tanh"),
        tied_head=tied,
    )


def _write_gpt2(config: DecoderConfig) -> Metadata:
    mlp = config.mlp
    return {
        "context_length": config.context,
        "embedding_length": config.width,
        "block_count": config.layers,
        "feed_forward_length": mlp.resolved_hidden(config.width) if isinstance(mlp, MLP) else 1,
        "attention.head_count": config.heads,
        "attention.layer_norm_epsilon": float(getattr(config.norm, "epsilon", 1e-5)),
    }


def _block_gpt2(config: DecoderConfig) -> Table:
    parts = ("attention.query", "attention.key", "attention.value")
    return {
        **{f"{part}.kernel": f"attn_qkv.weight : chunk({i},3,0) T" for i, part in enumerate(parts)},
        **{f"{part}.bias": f"attn_qkv.bias : chunk({i},3,0)" for i, part in enumerate(parts)},
        **kernels(MATRICES),
        **biases(MATRICES),
        **scales(NORMS),
        **biases(NORMS),
    }


ARCHITECTURES: Mapping[str, Architecture] = {
    "llama": Architecture(_read_llama, _write_llama, _block_llama, scales({"final_norm": "output_norm"})),
    "gpt2": Architecture(
        _read_gpt2,
        _write_gpt2,
        _block_gpt2,
        {
            "position_embed.embedding": "position_embd.weight",
            **scales({"final_norm": "output_norm"}),
            **biases({"final_norm": "output_norm"}),
        },
    ),
}


def _number(metadata: Metadata, name: str, file: Path) -> float:
    """A number that is stored in float32, as it was written in decimals."""
    value = metadata.get(name)
    if type(value) not in (int, float):
        raise UserError(f"{file} says that {name} is {value!r}, which is no number")
    return float(f"{value:.7g}")


def _same(head: StoredTensor, embedding: StoredTensor) -> bool:
    return head.shape == embedding.shape and np.array_equal(head.read(), embedding.read())


def _file(path: Path) -> Path:
    if not path.is_dir():
        return path
    found = sorted(path.glob(f"*{SUFFIX}"))
    return found[0] if len(found) == 1 else path / FILE


GGUF = Format(
    name=NAME,
    looked_for="a GGUF file",
    recognise=recognise,
    open=open_model_file,
    write=write,
    suffixes=(SUFFIX,),
    file=FILE,
)
