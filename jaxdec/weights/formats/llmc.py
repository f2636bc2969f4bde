"""llm.c's model file: 256 int32 of header, then GPT-2's tensors, each kind for all layers, matrices as [out, in].

https://github.com/karpathy/llm.c, `write_model` of `train_gpt2.py`. Version 3 is float32, version 5 bfloat16. The
embedding has rows of zeros up to a multiple of 128, to which llm.c gives no probability: they are left out.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from jaxdec.config.model import DecoderConfig
from jaxdec.config.parts import MLP, LayerNorm
from jaxdec.data.tokenizers.base import Tokenizer
from jaxdec.errors import UserError
from jaxdec.weights.formats import gpt
from jaxdec.weights.formats.base import DTYPES, Format, StoredModel, damaged, map_bytes
from jaxdec.weights.formats.consecutive import read_consecutive, stored_kind, write_consecutive
from jaxdec.weights.formats.fit import require_fit, save_tokenizer, tokenizer_beside
from jaxdec.weights.stream import their_tensors

NAME, FILE = "llm.c", "model.bin"
MAGIC, HEADER = 20240326, 256  # int32 numbers
VERSIONS: Mapping[int, np.dtype] = {3: DTYPES["float32"], 5: DTYPES["bfloat16"]}
PADDED_TO = 128
EMBEDDING = "transformer.wte.weight"


@dataclass(frozen=True)
class Sizes:
    """What the header says after magic and version, in its order."""

    context: int
    vocab_size: int
    layers: int
    heads: int
    width: int
    padded: int

    def layout(self) -> Iterator[tuple[str, tuple[int, ...]]]:
        """Names and shapes of all tensors in the file's order; names are nanoGPT's."""
        d = self.width
        yield EMBEDDING, (self.padded, d)
        yield "transformer.wpe.weight", (self.context, d)
        parts: list[tuple[str, tuple[int, ...]]] = [("ln_1.weight", (d,)), ("ln_1.bias", (d,))]
        parts += [("attn.c_attn.weight", (3 * d, d)), ("attn.c_attn.bias", (3 * d,))]
        parts += [("attn.c_proj.weight", (d, d)), ("attn.c_proj.bias", (d,))]
        parts += [("ln_2.weight", (d,)), ("ln_2.bias", (d,))]
        parts += [("mlp.c_fc.weight", (4 * d, d)), ("mlp.c_fc.bias", (4 * d,))]
        parts += [("mlp.c_proj.weight", (d, 4 * d)), ("mlp.c_proj.bias", (d,))]
        for part, shape in parts:
            for layer in range(self.layers):
                yield f"transformer.h.{layer}.{part}", shape
        yield "transformer.ln_f.weight", (d,)
        yield "transformer.ln_f.bias", (d,)

    def config(self) -> DecoderConfig:
        return DecoderConfig(
            layers=self.layers,
            heads=self.heads,
            width=self.width,
            context=self.context,
            vocab_size=self.vocab_size,
            norm=LayerNorm(1e-5),
            mlp=MLP(activation="gelu_tanh"),
        )


def recognise(path: Path) -> bool:
    file = path / FILE if path.is_dir() else path
    try:
        with file.open("rb") as opened:
            return int.from_bytes(opened.read(4), "little") == MAGIC
    except OSError:
        return False


def open_llmc(path: Path) -> StoredModel:
    """The model of a file, or of model.bin in a folder."""
    file = path / FILE if path.is_dir() else path
    version, sizes = _header(file)
    tensors = read_consecutive(file, 4 * HEADER, sizes.layout(), VERSIONS[version])
    config = sizes.config()
    rules = gpt.rules(config)
    if sizes.padded > sizes.vocab_size:
        kept = f"{EMBEDDING} : rows(0,{sizes.vocab_size})"
        rules = rules.replace(f"{EMBEDDING}\n", f"{kept}\n") + f"- <- {EMBEDDING} : rows({sizes.vocab_size})\n"
    return StoredModel(NAME, path, config, rules, tensors, tokenizer_beside(file, sizes.vocab_size))


def write(file: Path, params: Mapping[str, Any], config: DecoderConfig, tokenizer: Tokenizer | None) -> None:
    """A file that llm.c reads: in bfloat16 where all parameters are, otherwise in float32."""
    rows = config.vocab_size or 1
    sizes = Sizes(config.context, rows, config.layers, config.heads, config.width, -(-rows // PADDED_TO) * PADDED_TO)
    require_fit(NAME, config, sizes.config())
    kind = stored_kind(NAME, params, {kind.name: kind for _, kind in sorted(VERSIONS.items(), reverse=True)})
    version = next(number for number, each in VERSIONS.items() if each == kind)
    header = np.zeros(HEADER, "<i4")
    numbers = (MAGIC, version, sizes.context, rows, sizes.layers, sizes.heads, sizes.width, sizes.padded)
    header[: len(numbers)] = numbers
    tensors = their_tensors(gpt.rules(config), params)
    write_consecutive(file, header.tobytes(), sizes.layout(), tensors, kind)
    save_tokenizer(tokenizer, file)


def _header(file: Path) -> tuple[int, Sizes]:
    numbers = map_bytes(file, 0, 4 * HEADER).view("<i4")
    version = int(numbers[1])
    if version not in VERSIONS:
        raise UserError(
            f"{file} is a model file of llm.c in version {version}; 3 (float32) and 5 (bfloat16) are read: write it "
            f"again with a newer train_gpt2.py"
        )
    sizes = Sizes(*map(int, numbers[2:8]))
    if min(vars(sizes).values()) < 1 or sizes.padded < sizes.vocab_size or sizes.width % sizes.heads:
        raise damaged(file, f"its header says {sizes}")
    return version, sizes


LLMC = Format(
    name=NAME,
    looked_for="llm.c's model file (.bin)",
    recognise=recognise,
    open=open_llmc,
    write=write,
    suffixes=(".bin",),
    file=FILE,
)
