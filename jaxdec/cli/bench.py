"""`jaxdec bench train|start`: speed of a training step beside its PyTorch twin's, and the wait for the first step."""

from __future__ import annotations

import dataclasses
import importlib.util
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

import tyro

from jaxdec.cli.flags import Positional, parse
from jaxdec.cli.options import Json
from jaxdec.errors import UserError, nearest
from jaxdec.layer_config import Activation

ABOUT = """Measure this machine. WHAT is `train`: training speed of ours, the PyTorch twin and the twin under
torch.compile, in turn, as medians and ratios (needs the extra `torch`: pip install 'jaxdec[torch]'); or `start`:
seconds from the command to its first training step, with a cold and a warm compile cache."""
BENCHES = ("train", "start")


@dataclasses.dataclass(frozen=True)
class Arguments:
    what: Annotated[
        str | None,
        Positional,
        tyro.conf.arg(metavar="WHAT", help="what to measure: train or start", help_behavior_hint=""),
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
        raise UserError(f"say what to measure: jaxdec bench train, or start{given}")
    if arguments.rounds < 1:
        raise UserError(f"--rounds is {arguments.rounds}: give a whole number from 1")
    if arguments.what == "start":
        return measure_start(arguments.rounds)
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


def measure_start(rounds: int) -> dict[str, Any]:
    """Measures and prints the wait for the first step."""
    from jaxdec.bench_start import bench_start

    figures = bench_start(rounds=rounds)
    print("from `jaxdec train char-gpt` to its first step, in seconds")
    print(f"  empty compile cache  {figures['cold_seconds']:6.2f}")
    print(
        f"  warm compile cache   {figures['warm_seconds']:6.2f}  "
        f"(median of {rounds}, at most {figures['warm_seconds_max']:.2f})"
    )
    return figures


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
