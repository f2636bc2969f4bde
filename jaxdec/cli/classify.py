"""`jaxdec classify RUN TEXT...`: the class of each text and its probability."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from jaxdec.cli.flags.flags import parse
from jaxdec.cli.flags.options import arguments as several
from jaxdec.cli.flags.options import json_option, option, run_argument, step_option
from jaxdec.config.classify import Classify
from jaxdec.data.files import decode, read_bytes
from jaxdec.errors import UserError
from jaxdec.runs.source import describe

ABOUT = """Tell which class texts belong to, with a run of the stage classify, as 'jaxdec train spam' makes one. Texts
are given as TEXT, as the lines of --file, or as the lines of standard input."""
WIDEST = 72  # characters of a text on the terminal


@dataclasses.dataclass(frozen=True)
class ClassifyOptions:
    run: Path | None = run_argument()
    text: tuple[str, ...] = several("TEXT...", "what to classify; without any, and without --file: standard input")
    file: Path | None = option(None, "a UTF-8 file with one text a line", metavar="FILE", unset="none")
    step: int | None = step_option()
    json: bool = json_option()


def run(argv: Sequence[str]) -> dict[str, Any]:
    """Classifies, prints a line per text and returns them."""
    options = parse("classify", ClassifyOptions(), argv, about=ABOUT)
    if options.run is None:
        raise UserError("give the run directory: jaxdec classify RUN TEXT")
    config = describe(options.run)
    if not isinstance(config.resolved_stage, Classify):
        raise UserError(
            f"{options.run} is a run of stage {config.resolved_stage.kind}, not a classifier: make one of it with "
            f"'jaxdec train spam --init-from {options.run}'"
        )
    texts = texts_of(options)
    from jaxdec.cli.startup import start_jax

    start_jax()
    from jaxdec.evaluation.classification import classify_texts
    from jaxdec.runs.loading import load_run

    loaded = load_run(options.run, options.step)
    answers = classify_texts(loaded, texts)
    width = max(len(answer.label) for answer in answers)
    for answer in answers:
        shown = " ".join(answer.text.split())
        shown = shown if len(shown) <= WIDEST else shown[: WIDEST - 3] + "..."
        print(f"  {answer.label:<{width}}  {100 * answer.probability:6.2f} %  {shown}")
    if cut := sum(answer.truncated for answer in answers):
        print(f"  {cut:,} of {len(answers):,} texts cut to the model's window of {loaded.config.window} tokens")
    return {"step": loaded.step, "texts": [answer._asdict() for answer in answers]}


def texts_of(options: ClassifyOptions) -> list[str]:
    """The texts that were given, in one of three ways. Raises UserError for two at once, for none, for what is no
    UTF-8, and for lines that are all empty; a single empty line is left out."""
    if options.text and options.file is not None:
        raise UserError("give texts or --file, not both")
    if options.text:
        return list(options.text)
    if options.file is not None:
        place, content = f"the file {options.file}", read_bytes(options.file, "the file")
        text = decode(content, options.file, "the file")
    else:
        if sys.stdin.isatty():
            raise UserError(
                f"give what to classify: jaxdec classify {options.run} TEXT, --file FILE, or standard input"
            )
        place, content = "standard input", sys.stdin.buffer.read()
        text = decode(content, Path("input"), "standard")
    if "\0" in text:
        raise UserError(f"{place} is no text: it has a NUL byte at offset {content.index(0)}")
    lines = [line for line in text.splitlines() if line.strip()]
    if not lines:
        raise UserError(f"{place} is empty: give one text a line")
    return lines
