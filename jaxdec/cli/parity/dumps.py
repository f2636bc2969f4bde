"""`jaxdec parity dump|compare`: the two sides of a pair on two machines."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from jaxdec.cli.flags.flags import parse
from jaxdec.cli.flags.options import argument, json_option, option
from jaxdec.cli.parity.options import (
    CODES,
    SPEC,
    answer,
    html_option,
    loaded,
    report_json_option,
    require_writable,
    saying,
    seed_option,
    spec_argument,
    write,
)
from jaxdec.errors import UserError


@dataclasses.dataclass(frozen=True)
class DumpOptions:
    spec: str | None = spec_argument()
    side: Literal["candidate", "reference"] | None = option(
        None, "the JAX model or the PyTorch model (required)", metavar="{candidate,reference}"
    )
    out: Path | None = option(None, "the folder to write; it must be new (required)", metavar="DIR")
    precision: Literal["float64", "float32", "bfloat16"] = option("float64", "what to compute in")
    weight_init: Literal["init", "generic"] = option("generic", "the kind of weights")
    seed: int = seed_option()
    steps: int = option(100, "training steps, whose losses are kept")
    json: bool = json_option()


@dataclasses.dataclass(frozen=True)
class CompareOptions:
    candidate: Path | None = argument("CANDIDATE", "the folder of the JAX model's dump")
    reference: Path | None = argument("REFERENCE", "the folder of the PyTorch model's dump")
    oracle: Path | None = option(None, "the reference's dump in float64, which lower precisions need", metavar="DIR")
    html: Path | None = html_option()
    report_json: Path | None = report_json_option()
    json: bool = json_option()


def dump(argv: Sequence[str]) -> dict[str, Any]:
    """Runs one side and writes what it computed."""
    arguments = parse("parity dump", DumpOptions(), argv, about=f"Write one side's tensors (safetensors, JSON). {SPEC}")
    if arguments.side is None or arguments.out is None:
        missing = "--side candidate or --side reference" if arguments.side is None else "--out DIR"
        raise UserError(f"give {missing}: jaxdec parity dump SPEC --side SIDE --out DIR")
    if arguments.steps < 1:
        raise UserError(f"--steps is {arguments.steps}: give a whole number from 1")
    with loaded(arguments.spec, "dump") as pair, saying() as say:
        from jaxdec.parity.compare.dump import dump
        from jaxdec.parity.setting import Setting
        from jaxdec.parity.sides.record import record

        at = Setting(arguments.weight_init, arguments.precision, arguments.seed)
        say(f"{arguments.side} of {pair.name}, {at}")
        recording = record(pair, arguments.side, at, steps=arguments.steps)
        folder = dump(arguments.out, recording)
    counts = {stage: len(arrays) for stage, arrays in recording.stages.items()}
    print(f"{arguments.side} of {pair.name}, {at}")
    for stage, count in counts.items():
        print(f"  {stage:<10}{count:>6}")
    print(f"written to {folder}")
    return {"pair": pair.name, "side": arguments.side, "out": str(folder), "tensors": counts}


def compare(argv: Sequence[str]) -> dict[str, Any]:
    """Compares two dumps and shows the report."""
    about = f"Compare two dumps of one pair: first the candidate's, then the reference's. {CODES}"
    arguments = parse("parity compare", CompareOptions(), argv, about=about)
    if arguments.candidate is None or arguments.reference is None:
        raise UserError("give two dumps: jaxdec parity compare CANDIDATE REFERENCE")
    require_writable({"--html": arguments.html, "--report-json": arguments.report_json})
    from jaxdec.parity.compare.compare import compare_dumps
    from jaxdec.parity.compare.dump import read_dump
    from jaxdec.parity.locate.finite import not_finite_in
    from jaxdec.parity.report.report import Report
    from jaxdec.parity.report.terminal import show

    start, notes = time.monotonic(), []
    found = compare_dumps(arguments.candidate, arguments.reference, arguments.oracle, say=notes.append)
    sides = [read_dump(folder) for folder in (arguments.candidate, arguments.reference)]
    environment = {f"{side.side}: {name}": value for side in sides for name, value in side.environment.items()}
    report = Report(
        sides[0].pair,
        tuple(found),
        tuple(not_finite_in(*(side.stages for side in sides))),
        notes=tuple(notes),
        curves={f"{side.side} loss": [float(loss) for loss in run] for side in sides for run in losses_of(side)},
        environment=environment,
        seconds=time.monotonic() - start,
    )
    files = write(report, arguments.html, arguments.report_json)
    show(report, files)
    return answer(report, files)


def losses_of(side: Any) -> list[Any]:
    """The first training run of a dump, if it holds one."""
    return list(side.stages.get("losses", {}).values())[:1]
