"""`jaxdec bench train|start|moe|prepare|convert`: speed of a training step beside its PyTorch twin's, the wait for the
first step, what a mixture of experts costs, the speed of text to token shards beside tiktoken's, and what it takes to
convert a model of real size."""

from __future__ import annotations

import dataclasses
import importlib.util
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from jaxdec.cli.flags.flags import parse
from jaxdec.cli.flags.options import argument, json_option, option
from jaxdec.config.parts import Activation
from jaxdec.errors import UserError, nearest

ABOUT = """Measure this machine. WHAT is `train`: training speed of ours, the PyTorch twin and the twin under
torch.compile, in turn, as medians and ratios (needs the extra `torch`: pip install 'jaxdec[torch]'); `start`:
seconds from the command to its first training step, with a cold and a warm compile cache; `moe`: a training step
of mixtures of 8 and of 64 experts beside a dense model of equal active FLOPs; `prepare`: a large text to token shards
with GPT-2's tokenizer beside tiktoken alone, and the memory that it takes; or `convert`: seconds and peak memory of
reading, training and writing GPT-2's smallest and of converting its largest size, with random weights (20 GB of disk
in the folder for temporary files)."""
BENCHES = ("train", "start", "moe", "prepare", "convert")


@dataclasses.dataclass(frozen=True)
class BenchOptions:
    what: str | None = argument("WHAT", "what to measure: train, start, moe, prepare or convert")
    size: Literal["small", "medium", "both"] = option(
        "both", "small: 4 layers, width 128, context 64, batch 12; medium: 6 layers, width 384, context 256, batch 8"
    )
    activation: Activation = option("gelu_tanh", "of the feed-forward layers, on every side")
    model: Literal["gpt2", "gpt2-xl", "both"] = option("both", "of convert: 124 million or 1.5 billion parameters")
    rounds: int = option(10, "how often each side is measured; the median counts")
    megabytes: int = option(100, "million bytes of text that `prepare` is measured on")
    json: bool = json_option()


def run(argv: Sequence[str]) -> dict[str, Any]:
    """Measures, prints a table per size and returns the figures."""
    arguments = parse("bench", BenchOptions(), argv, about=ABOUT)
    if arguments.what not in BENCHES:
        given = nearest(arguments.what, BENCHES) if arguments.what else ""
        raise UserError(f"say what to measure: jaxdec bench train, start, moe, prepare or convert{given}")
    if arguments.rounds < 1:
        raise UserError(f"--rounds is {arguments.rounds}: give a whole number from 1")
    if arguments.megabytes < 1:
        raise UserError(f"--megabytes is {arguments.megabytes}: give a whole number from 1")
    if arguments.what == "prepare":
        return measure_prepare(arguments.megabytes, arguments.rounds)
    if arguments.what == "start":
        return measure_start(arguments.rounds)
    if arguments.what == "moe":
        return measure_moe(arguments.rounds)
    if arguments.what == "convert":
        return measure_convert(("gpt2", "gpt2-xl") if arguments.model == "both" else (arguments.model,))
    if importlib.util.find_spec("torch") is None:
        raise UserError("bench train needs PyTorch, which is not installed: pip install 'jaxdec[torch]'")
    from jaxdec.cli.startup import start_jax

    start_jax()
    from jaxdec.bench.train import bench_train

    sizes = ("small", "medium") if arguments.size == "both" else (arguments.size,)
    results: dict[str, Any] = {}
    for size in sizes:
        results[size] = bench_train(size, rounds=arguments.rounds, activation=arguments.activation)
        show(size, results[size])
    return results


def measure_start(rounds: int) -> dict[str, Any]:
    """Measures and prints the wait for the first step."""
    from jaxdec.bench.start import bench_start

    figures = bench_start(rounds=rounds)
    print("from `jaxdec train char-gpt` to its first step, in seconds")
    print(f"  empty compile cache  {figures['cold_seconds']:6.2f}")
    print(
        f"  warm compile cache   {figures['warm_seconds']:6.2f}  "
        f"(median of {rounds}, at most {figures['warm_seconds_max']:.2f})"
    )
    return figures


def measure_moe(rounds: int) -> dict[str, Any]:
    """Measures and prints what mixtures of experts cost."""
    from jaxdec.cli.startup import start_jax

    start_jax()
    from jaxdec.bench.moe import PAIRS, SIDES, bench_moe

    figures = bench_moe(rounds=rounds)
    print(f"ms a step of {figures['tokens_per_step']:,} tokens, medians of {rounds} rounds")
    print(f"  {'':<12}{'parameters':>12}{'forward + backward':>20}{'with AdamW':>12}")
    for side in SIDES:
        parameters, gradient, step = (figures[f"{side}_{what}"] for what in ("parameters", "gradient_ms", "step_ms"))
        print(f"  {side.replace('_', ' '):<12}{parameters:>12,}{gradient:>20.1f}{step:>12.1f}")
    for one, other in PAIRS:
        name = f"{one}_over_{other}"
        step, least, most, gradient = (
            figures[f"{name}_{what}"] for what in ("step", "step_min", "step_max", "gradient")
        )
        sides = f"{one} costs {step:.2f} times {other}".replace("_", " ")
        print(f"  {sides} ({least:.2f} to {most:.2f}); forward + backward {gradient:.2f} times", flush=True)
    return figures


def measure_prepare(megabytes: int, rounds: int) -> dict[str, Any]:
    """Measures and prints how fast text becomes token shards."""
    from jaxdec.bench.prepare import bench_prepare

    figures = bench_prepare(megabytes=megabytes, rounds=rounds)
    print(
        f"{figures['bytes'] / 1e6:,.0f} MB of text, {figures['tokens']:,} tokens of GPT-2, {figures['cores']} cores, "
        f"load {figures['load']:.1f}; medians of {rounds} rounds"
    )
    for side in ("prepare", "tiktoken"):
        seconds, cpu, rate = (figures[f"{side}_{what}"] for what in ("seconds", "cpu_seconds", "megabytes_per_second"))
        print(f"  {side:<10}{seconds:>9.1f} s{rate:>9.2f} MB/s{cpu:>9.1f} s of all cores")
    spread = f"{figures['ratio_min']:.2f} to {figures['ratio_max']:.2f}"
    print(f"  prepare reaches {100 * figures['ratio']:.0f} % of tiktoken alone ({spread})")
    print(f"  prepare's peak memory {figures['prepare_peak_megabytes']:,} MB", flush=True)
    return figures


def measure_convert(names: Sequence[str]) -> dict[str, Any]:
    """Measures and prints what conversion costs."""
    from jaxdec.cli.startup import start_jax

    start_jax()
    from jaxdec.bench.convert import bench_convert

    return {name: bench_convert(name, train=name == "gpt2") for name in names}


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
