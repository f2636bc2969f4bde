"""`jaxdec evaluate RUN`: the complete validation sweep, nanoGPT's protocol, and the distance to the entropy floor."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from jaxdec.cli.flags.flags import parse
from jaxdec.cli.flags.options import json_option, run_argument, step_option
from jaxdec.errors import UserError
from jaxdec.runs.directory import require_run

ABOUT = """Score a run's model on its validation split: every token once (the sweep), and nanoGPT's random batches
beside it. Where the corpus's entropy is known, its floor and the excess over it are given too, in nats per token. Of an
encoder-decoder: the loss, token accuracy, and exact matches and BLEU of greedy translations."""


@dataclasses.dataclass(frozen=True)
class EvaluateOptions:
    run: Path | None = run_argument()
    step: int | None = step_option()
    json: bool = json_option()


def run(argv: Sequence[str]) -> dict[str, Any]:
    """Evaluates, prints the figures and returns them."""
    arguments = parse("evaluate", EvaluateOptions(), argv, about=ABOUT)
    if arguments.run is None:
        raise UserError("give the run directory: jaxdec evaluate RUN")
    require_run(arguments.run)
    from jaxdec.cli.startup import start_jax

    start_jax()
    from jaxdec.cli.summary import show_values
    from jaxdec.stages.run import evaluate

    return show_values(evaluate(arguments.run, arguments.step))
