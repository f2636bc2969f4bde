"""`jaxdec bench train`: tokens per second of our training step and of its PyTorch twin, measured alternately."""

from __future__ import annotations

import dataclasses
import importlib.util
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

import tyro

from jaxdec.cli.flags import Positional, parse
from jaxdec.cli.options import Json
from jaxdec.config import Activation
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
    activation: Annotated[Activation, tyro.conf.arg(help="of the feed-forward layers, on every side")] = "gelu_tanh"
    rounds: Annotated[int, tyro.conf.arg(help="how often each side is measured; the median counts")] = 10
    json: Json = False


def run(argv: Sequence[str]) -> dict[str, Any]:
    """Measures, prints a table per size and returns the figures."""
    arguments = parse("bench", Arguments(), argv, about=ABOUT)
    if arguments.what not in BENCHES:
        given = nearest(arguments.what, BENCHES) if arguments.what else ""
        raise UserError(f"say what to measure: jaxdec bench train{given}")
    if arguments.rounds < 1:
        raise UserError(f"--rounds is {arguments.rounds}: give a whole number from 1")
    if importlib.util.find_spec("torch") is None:
        raise UserError("bench train needs PyTorch, which is not installed: pip install 'jaxdec[torch]'")
    from jaxdec.cli.startup import start_jax

    start_jax()
    from jaxdec.bench import bench_train

    sizes = ("small", "medium") if arguments.size == "both" else (arguments.size,)
    results: dict[str, Any] = {}
    for size in sizes:
        results[size] = bench_train(size, rounds=arguments.rounds, activation=arguments.activation)
        show(size, results[size])
    return results


def show(size: str, figures: Mapping[str, Any]) -> None:
    """Prints one size: a line per side, then the ratio of speeds to the better torch side."""
    print(f"{size}: {figures['activation']}, medians of {figures['rounds']} rounds")
    print(f"  {'':<16}{'ms/step':>10}{'tokens/s':>12}{'loss':>12}")
    for key in figures:
        if key.endswith("_ms_per_step"):
            side = key.removesuffix("_ms_per_step")
            speed, loss = figures[f"{side}_tokens_per_second"], figures[f"{side}_loss"]
            print(f"  {side.replace('_', ' '):<16}{figures[key]:>10.2f}{speed:>12,}{loss:>12.6f}")
    spread = f"{figures['ratio_min']:.2f} to {figures['ratio_max']:.2f}"
    print(f"  jaxdec is {figures['ratio']:.2f} times as fast as {figures['better_torch']} ({spread})", flush=True)
