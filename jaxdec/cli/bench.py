"""`jaxdec bench train`: tokens per second of our training step and of its PyTorch twin, measured alternately."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Annotated, Any, Literal

import tyro

from jaxdec.cli.flags import Positional, parse
from jaxdec.cli.options import Json
from jaxdec.errors import UserError, nearest

ABOUT = """Measure training speed: ours, the PyTorch twin's and its torch.compile's, in turn on this machine; medians
and ratios. WHAT is `train`. Needs the extra `torch`: pip install 'jaxdec[torch]'."""
BENCHES = ("train",)


@dataclasses.dataclass(frozen=True)
class Arguments:
    what: Annotated[
        str | None,
        Positional,
        tyro.conf.arg(metavar="WHAT", help="what to measure: train", help_behavior_hint=""),
    ] = None
    size: Annotated[
        Literal["small", "medium", "both"],
        tyro.conf.arg(
            help="small: 4 layers, width 128, context 64, batch 12; medium: 6 layers, width 384, context 256, batch 8"
        ),
    ] = "both"
    rounds: Annotated[int, tyro.conf.arg(help="how often each is measured; the median counts")] = 5
    json: Json = False


def run(argv: Sequence[str]) -> dict[str, Any]:
    """Measures, prints a table per size and returns the figures."""
    arguments = parse("bench", Arguments(), argv, about=ABOUT)
    if arguments.what not in BENCHES:
        given = nearest(arguments.what, BENCHES) if arguments.what else ""
        raise UserError(f"say what to measure: jaxdec bench train{given}")
    if arguments.rounds < 1:
        raise UserError(f"--rounds is {arguments.rounds}: give a whole number from 1")
    from jaxdec.cli.startup import start_jax

    start_jax()
    from jaxdec.bench import bench_train
    from jaxdec.cli.summary import show_values

    sizes = ("small", "medium") if arguments.size == "both" else (arguments.size,)
    results = {}
    for size in sizes:
        print(f"{size}:")
        results[size] = show_values(bench_train(size, rounds=arguments.rounds))
    return results
