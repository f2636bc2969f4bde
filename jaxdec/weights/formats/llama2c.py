"""llama2.c's model file: a header of seven int32, then Llama's tensors in float32, each kind for all layers.

https://github.com/karpathy/llama2.c, `export.py`. Version 0, which `run.c` reads, has no magic number: its vocabulary
is negative where the head is not tied, and tables of cosines and sines stand before that head. Version 1 has a magic
number and another order; version 2 is quantised. Rotary pairs are neighbours, where ours are halves of a head.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import astuple, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from jaxdec.config.model import DecoderConfig
from jaxdec.config.parts import GatedMLP, RMSNorm
from jaxdec.config.positions import RoPE
from jaxdec.data.files import write_whole
from jaxdec.data.tokenizers.base import Tokenizer
from jaxdec.data.tokenizers.sentencepiece import SentencePieceTokenizer
from jaxdec.errors import UserError
from jaxdec.weights.formats.base import DTYPES, Format, Lazy, StoredModel, damaged, map_bytes
from jaxdec.weights.formats.consecutive import read_consecutive, stored_kind, write_consecutive
from jaxdec.weights.formats.fit import require_fit, save_tokenizer, tokenizer_beside
from jaxdec.weights.huggingface.tables import kernels, rule_lines, scales, under, when
from jaxdec.weights.stream import their_tensors

NAME, FILE, TOKENIZER = "llama2.c", "model.bin", "tokenizer.bin"
MAGIC, HEADER = 0x616B3432, 256  # of version 1: "ak42", and bytes of its header
FLOAT32 = DTYPES["float32"]
TABLES = ("freqs_cos", "freqs_sin")
LARGEST = 2**24  # of a header's numbers: a file without magic number that says more is something else


@dataclass(frozen=True)
class Sizes:
    """The header's numbers in its order; `tied` stands in the sign of the vocabulary, or in a byte of its own."""

    width: int
    hidden: int
    layers: int
    heads: int
    kv_heads: int
    vocab_size: int
    context: int
    tied: bool

    @property
    def possible(self) -> bool:
        """Whether there is a model of these sizes."""
        numbers = astuple(self)[:-1]
        fits = all(1 <= number < LARGEST for number in numbers) and self.width % (2 * self.heads) == 0
        return fits and self.heads % self.kv_heads == 0

    def layout(self, version: int) -> Iterator[tuple[str, tuple[int, ...]]]:
        """Names and shapes of all tensors in the order of a version; names are those of Llama's own files."""
        d, head = self.width, self.width // self.heads
        kv = self.kv_heads * head
        norms = [("attention_norm", (d,)), ("ffn_norm", (d,))]
        attention = [(f"attention.{name}", (rows, d)) for name, rows in (("wq", d), ("wk", kv), ("wv", kv), ("wo", d))]
        hidden = self.hidden
        mlp = [(f"feed_forward.{name}", (hidden, d) if name != "w2" else (d, hidden)) for name in ("w1", "w2", "w3")]
        embedding, final = ("tok_embeddings.weight", (self.vocab_size, d)), ("norm.weight", (d,))
        if version == 1:
            yield from self._layers(norms)
            yield from (final, embedding)
            yield from self._layers([*attention, *mlp])
        else:
            yield embedding
            yield from self._layers([norms[0], *attention, norms[1], *mlp])
            yield final
            yield from ((name, (self.context, head // 2)) for name in TABLES)
        if not self.tied:
            yield "output.weight", (self.vocab_size, d)

    def _layers(self, parts: list[tuple[str, tuple[int, ...]]]) -> Iterator[tuple[str, tuple[int, ...]]]:
        for part, shape in parts:
            for layer in range(self.layers):
                yield f"layers.{layer}.{part}.weight", shape

    def config(self) -> DecoderConfig:
        return DecoderConfig(
            layers=self.layers,
            heads=self.heads,
            kv_heads=self.kv_heads,
            width=self.width,
            context=self.context,
            vocab_size=self.vocab_size,
            position=RoPE(10_000.0),
            norm=RMSNorm(1e-5),
            mlp=GatedMLP(self.hidden),
            bias=False,
            tied_head=self.tied,
        )


def rules_of(config: DecoderConfig) -> str:
    """The table from Llama's own names, with rotary pairs brought to halves of a head."""
    block = {
        "attention.query.kernel": f"attention.wq.weight : halves({config.heads}) T",
        "attention.key.kernel": f"attention.wk.weight : halves({config.resolved_kv_heads}) T",
        **kernels({"attention.value": "attention.wv", "attention.out": "attention.wo"}),
        **kernels({"mlp.gate": "feed_forward.w1", "mlp.down": "feed_forward.w2", "mlp.up": "feed_forward.w3"}),
        **scales({"attention_norm": "attention_norm", "mlp_norm": "ffn_norm"}),
    }
    names = {
        "token_embed.embedding": "tok_embeddings.weight",
        **under("blocks.{i}.", "layers.{i}.", block),
        **scales({"final_norm": "norm"}),
        **when(not config.tied_head, kernels({"head": "output"})),
    }
    return rule_lines([names])


def recognise(path: Path) -> bool:
    """By the magic number of later versions, or a suffix .bin and seven numbers that a model can have."""
    file = path / FILE if path.is_dir() else path
    try:
        with file.open("rb") as opened:
            first = opened.read(28)
    except OSError:
        return False
    if int.from_bytes(first[:4], "little") == MAGIC:
        return True
    return file.suffix == ".bin" and len(first) == 28 and _legacy(first).possible


def open_llama2c(path: Path) -> StoredModel:
    """The model of a file, or of model.bin in a folder, with the tokenizer.bin beside it."""
    file = path / FILE if path.is_dir() else path
    version, start, sizes = _header(file)
    tensors = read_consecutive(file, start, sizes.layout(version), FLOAT32)
    for name in TABLES:
        tensors.pop(name, None)
    config = sizes.config()
    return StoredModel(NAME, path, config, rules_of(config), tensors, _tokenizer(file, sizes.vocab_size))


def write(file: Path, params: Mapping[str, Any], config: DecoderConfig, tokenizer: Tokenizer | None) -> None:
    """A file that llama2.c's `run` reads (version 0)."""
    sizes = Sizes(
        width=config.width,
        hidden=getattr(config.mlp, "hidden", None) or 1,
        layers=config.layers,
        heads=config.heads,
        kv_heads=config.resolved_kv_heads,
        vocab_size=config.vocab_size or 1,
        context=config.context,
        tied=config.tied_head,
    )
    require_fit(NAME, config, sizes.config())
    stored_kind(NAME, params, {"float32": FLOAT32})
    header = np.array(astuple(sizes)[:-1], "<i4")
    header[5] *= 1 if sizes.tied else -1
    tensors = {**their_tensors(rules_of(config), params), **_tables(sizes)}
    scored = isinstance(tokenizer, SentencePieceTokenizer)
    if scored and tokenizer.vocab_size != sizes.vocab_size:  # `run` reads as many pieces as the model has tokens
        raise UserError(
            f"{NAME} has no padded vocabulary: the tokenizer has {tokenizer.vocab_size} pieces, and the model "
            f"{sizes.vocab_size} tokens"
        )
    write_consecutive(file, header.tobytes(), sizes.layout(0), tensors, FLOAT32)
    if scored:
        write_whole(file.parent / TOKENIZER, tokenizer.to_bin(), "the tokenizer")
    else:
        save_tokenizer(tokenizer, file)


def _tokenizer(file: Path, vocab_size: int) -> Tokenizer | None:
    path = file.parent / TOKENIZER
    if not path.is_file():
        return tokenizer_beside(file, vocab_size)
    tokenizer = SentencePieceTokenizer.from_file(str(path))
    if tokenizer.vocab_size > vocab_size:
        raise UserError(
            f"{path} has {tokenizer.vocab_size} pieces, and the model in {file} has {vocab_size} tokens: it is another "
            f"model's"
        )
    return tokenizer


def _tables(sizes: Sizes) -> dict[str, Lazy]:
    """Cosines and sines of every position's angles, which `run.c` skips."""
    head = sizes.width // sizes.heads
    angles = np.outer(np.arange(sizes.context), 10_000.0 ** (-np.arange(0, head, 2) / head))
    made = zip(TABLES, (np.cos(angles), np.sin(angles)), strict=True)
    return {name: Lazy(table.shape, "float32", lambda table=table: table) for name, table in made}


def _legacy(first: bytes) -> Sizes:
    width, hidden, layers, heads, kv_heads, vocab_size, context = map(int, np.frombuffer(first, "<i4"))
    return Sizes(width, hidden, layers, heads, kv_heads, abs(vocab_size), context, vocab_size > 0)


def _header(file: Path) -> tuple[int, int, Sizes]:
    """Version, where the tensors start, and the sizes."""
    if int.from_bytes(map_bytes(file, 0, 4).tobytes(), "little") != MAGIC:
        return 0, 28, _legacy(map_bytes(file, 0, 28).tobytes())
    header = map_bytes(file, 0, HEADER)
    version, width, hidden, layers, heads, kv_heads, vocab_size, context = map(int, header[4:36].view("<i4"))
    if version == 2:
        raise UserError(f"{file} is a model file of llama2.c in version 2, quantised to int8: export version 0 or 1")
    if version != 1:
        raise UserError(f"{file} is a model file of llama2.c in version {version}; 0 and 1 are read")
    sizes = Sizes(width, hidden, layers, heads, kv_heads, vocab_size, context, bool(header[36]))
    if not sizes.possible or header[36] > 1:
        raise damaged(file, f"its header says {sizes}")
    return 1, HEADER, sizes


LLAMA2C = Format(
    name=NAME,
    looked_for="llama2.c's model file (.bin)",
    recognise=recognise,
    open=open_llama2c,
    write=write,
    suffixes=(".bin",),
    file=FILE,
)
