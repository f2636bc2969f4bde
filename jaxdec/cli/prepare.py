"""`jaxdec prepare`: fetches a corpus and writes its token shards, so that training can start offline."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from jaxdec.cli.flags.flags import parse
from jaxdec.cli.flags.options import from_file_option, json_option
from jaxdec.config.run import DataConfig

ABOUT = """Read a corpus, or fetch it, and write its token shards to the cache folder. Training does the same when it
starts; do it beforehand on machines that will be offline."""


@dataclasses.dataclass(frozen=True)
class PrepareOptions:
    data: DataConfig
    from_file: Path | None = from_file_option()
    json: bool = json_option()


def run(argv: Sequence[str]) -> dict[str, Any]:
    """Prepares the shards, prints what they hold and returns it."""
    arguments = parse("prepare", PrepareOptions(data=DataConfig(corpus="playlets")), argv, about=ABOUT)
    from jaxdec.data.shards import prepare

    dataset = prepare(arguments.data, from_file=arguments.from_file)
    result = {
        "corpus": dataset.corpus,
        "tokenizer": dataset.tokenizer.kind,
        "vocab_size": dataset.tokenizer.vocab_size,
        "train_tokens": len(dataset.train),
        "validation_tokens": len(dataset.validation),
        "folder": str(Path(str(dataset.train.filename)).parent),
    }
    for name, value in result.items():
        print(f"{name:<18} {value:,}" if isinstance(value, int) else f"{name:<18} {value}")
    wanted = getattr(arguments.data.tokenizer, "vocab_size", None)
    if wanted is not None and result["vocab_size"] < wanted:
        print(f"{'note':<18} the training split gives no more tokens than these, of {wanted:,} asked for")
    return result
