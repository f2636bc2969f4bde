"""`jaxdec evaluate RUN`: the complete validation sweep, nanoGPT's protocol, and the distance to the entropy floor."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from jaxdec.cli.flags.flags import own_flags, pairs, parse
from jaxdec.cli.flags.options import json_option, run_argument, step_option
from jaxdec.config.run import NO_CORPUS, DataConfig
from jaxdec.errors import UserError
from jaxdec.runs.source import describe, with_data

ABOUT = """Score a run's model on its validation split: every token once (the sweep), and nanoGPT's random batches
beside it. Where the corpus's entropy is known, its floor and the excess over it are given too, in nats per token. Of an
encoder-decoder: the loss, token accuracy, and exact matches and BLEU of greedy translations.

RUN may be weights of another program, which have no corpus: give one, as --data.corpus tinyshakespeare. A run's own
may be exchanged too."""


@dataclasses.dataclass(frozen=True)
class EvaluateOptions:
    data: DataConfig
    run: Path | None = run_argument()
    step: int | None = step_option()
    json: bool = json_option()


def run(argv: Sequence[str]) -> dict[str, Any]:
    """Evaluates, prints the figures and returns them."""
    given = next((word for flag, word in pairs(argv, own_flags(EvaluateOptions)) if flag is None), None)
    try:
        config = describe(given) if given else None
    except UserError:
        parse(
            "evaluate", EvaluateOptions(DataConfig(corpus="playlets")), argv, about=ABOUT
        )  # a mistyped flag comes first
        raise
    data = config.data if config else DataConfig(corpus="playlets")
    arguments = parse("evaluate", EvaluateOptions(data), argv, about=ABOUT)
    if arguments.run is None or config is None:
        raise UserError("give the run directory: jaxdec evaluate RUN")
    if arguments.data.corpus == NO_CORPUS:
        raise UserError(f"{given} has no corpus of its own: give --data.corpus, a name (jaxdec list) or a path")
    changed = with_data(config, arguments.data) if arguments.data != data else config
    from jaxdec.cli.startup import start_jax

    start_jax()
    from jaxdec.cli.summary import show_values
    from jaxdec.stages.run import evaluate

    return show_values(evaluate(arguments.run, arguments.step, changed.data if changed is not config else None))
