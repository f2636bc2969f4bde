"""`jaxdec prepare`: fetches a corpus and writes its token shards, so that training can start offline."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from jaxdec.cli.flags.flags import parse
from jaxdec.cli.flags.options import argument, from_file_option, json_option, option
from jaxdec.config.run import DataConfig
from jaxdec.errors import UserError

ABOUT = """Read a corpus, or fetch it, and write its token shards to the cache folder. CORPUS is the name of a corpus,
or the path of a file or folder, as --data.corpus is. Training does the same when it starts; do it beforehand on
machines that will be offline. A command that was stopped goes on where it was."""
DEFAULT = "playlets"


@dataclasses.dataclass(frozen=True)
class PrepareOptions:
    data: DataConfig
    corpus: str | None = argument("CORPUS", "a corpus by name, or a path; the same as --data.corpus")
    check: bool = option(False, "check every byte of shards that are there, and not what a start can afford alone")
    from_file: Path | None = from_file_option()
    keep_files: bool = option(False, "keep the files of a large corpus, which are otherwise deleted once they are read")
    json: bool = json_option()


def run(argv: Sequence[str]) -> dict[str, Any]:
    """Prepares the shards, prints what they hold and returns it."""
    arguments = parse("prepare", PrepareOptions(data=DataConfig(corpus=DEFAULT)), argv, about=ABOUT)
    data = arguments.data
    if arguments.corpus is not None:
        if data.corpus not in (DEFAULT, arguments.corpus):
            raise UserError(f"two corpora are given, {arguments.corpus} and --data.corpus {data.corpus}: leave one out")
        data = dataclasses.replace(data, corpus=arguments.corpus)
    from jaxdec.data.shards import prepare
    from jaxdec.runs.preparing import Preparing

    with Preparing() as report:
        dataset = prepare(
            data,
            from_file=arguments.from_file,
            report=report,
            check=arguments.check,
            keep_files=arguments.keep_files,
        )
    result = {
        "corpus": dataset.corpus,
        "tokenizer": dataset.tokenizer.kind,
        "vocab_size": dataset.tokenizer.vocab_size,
        "train_tokens": len(dataset.train),
        "validation_tokens": len(dataset.validation),
        "train_documents": len(dataset.train_starts),
        "validation_documents": len(dataset.validation_starts),
        "folder": str(dataset.folder),
    }
    for name, value in result.items():
        print(f"{name:<22} {value:,}" if isinstance(value, int) else f"{name:<22} {value}")
    wanted = getattr(data.tokenizer, "vocab_size", None)
    if wanted is not None and result["vocab_size"] < wanted:
        print(f"{'note':<22} the training split gives no more tokens than these, of {wanted:,} asked for")
    return result
