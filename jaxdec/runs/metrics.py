"""Where a run's numbers go: `metrics.jsonl` always, the terminal, and TensorBoard or wandb where the config asks.

One `write` is one JSON line `{"step": 10, "loss": 3.1, ...}`, flushed, so that a killed run keeps what it measured; a
value that is not finite is written as null. Names with a meaning here: `loss` (training, nats per token),
`learning_rate`, `validation_loss`, `sweep_loss`, `floor`, `excess`, and the speeds of `training.throughput`
(`tokens_per_second`, `flops_per_second_per_device`, `mfu`); every other is passed on as it is.
"""

from __future__ import annotations

import importlib.util
import json
import math
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from jaxdec.config.files import write_text
from jaxdec.config.run import LogConfig, RunConfig
from jaxdec.config.stages import Pretrain
from jaxdec.errors import UserError
from jaxdec.runs.console import Progress


class Sink(Protocol):
    """Anything that takes the numbers of a step."""

    def write(self, step: int, values: Mapping[str, float]) -> None: ...

    def close(self) -> None: ...


class MetricsLog:
    """The sinks of one run. `sinks` None: the console, and those that `config.log` asks for."""

    def __init__(self, run_dir: Path, config: RunConfig, sinks: Sequence[Sink] | None = None) -> None:
        self.path, self._steps = Path(run_dir) / "metrics.jsonl", config.train.steps
        self._sinks: list[Sink] = list(_configured_sinks(Path(run_dir), config) if sinks is None else sinks)
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._file = open(self.path, "a", encoding="utf-8")
        except OSError as error:
            raise _cannot_write(self.path, error) from None

    def write(self, step: int, values: Mapping[str, float]) -> None:
        """Appends the numbers of `step` (train steps done so far)."""
        plain = {name: float(value) for name, value in values.items()}
        line = {"step": int(step)} | {name: value if math.isfinite(value) else None for name, value in plain.items()}
        try:
            self._file.write(json.dumps(line) + "\n")
            self._file.flush()
        except OSError as error:
            raise _cannot_write(self.path, error) from None
        for sink in self._sinks:
            sink.write(int(step), plain)

    def truncate_after(self, step: int) -> None:
        """Drops what a resumed run will write again: the lines of later steps, an evaluation after the last step (which
        follows the last save), and a line that a kill cut short. Unreadable lines are set aside, with a warning."""
        lines, damaged = parse_metrics(self.path)
        kept = [json.dumps(line) + "\n" for line in lines if line["step"] <= step and not self._is_final(line)]
        self._file.close()
        try:
            if damaged:
                aside = self.path.with_name(self.path.name + ".damaged")
                with open(aside, "ab") as file:
                    file.write(b"".join(line + b"\n" for line in damaged))
                count = f"{len(damaged)} line{'s' if len(damaged) > 1 else ''}"
                print(f"warning: {count} of {self.path} cannot be read: moved to {aside.name}", file=sys.stderr)
            write_text(self.path, "".join(kept))
            self._file = open(self.path, "a", encoding="utf-8")
        except OSError as error:
            raise _cannot_write(self.path, error) from None

    def _is_final(self, line: Mapping[str, Any]) -> bool:
        return line["step"] == self._steps and "loss" not in line

    def close(self) -> None:
        self._file.close()
        for sink in self._sinks:
            sink.close()

    def __enter__(self) -> MetricsLog:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def read_metrics(path: Path) -> Iterator[dict[str, Any]]:
    """The lines of a `metrics.jsonl` in order; those that cannot be read are left out."""
    yield from parse_metrics(path)[0]


def parse_metrics(path: Path) -> tuple[list[dict[str, Any]], list[bytes]]:
    """The lines of a `metrics.jsonl` in order, and those that are damaged. A last line without an end is neither: a
    kill cut it short."""
    try:
        *whole, rest = Path(path).read_bytes().split(b"\n")
    except FileNotFoundError:
        return [], []
    rows = [(text, _read_line(text)) for text in whole if text]
    last = _read_line(rest)
    lines = [line for _, line in rows if line is not None] + ([] if last is None else [last])
    return lines, [text for text, line in rows if line is None]


def _read_line(text: bytes) -> dict[str, Any] | None:
    """A step's numbers; None where the bytes are not such a line."""
    try:
        line = json.loads(text.decode("utf-8"))
    except ValueError:  # not UTF-8, or not JSON
        return None
    is_row = isinstance(line, dict) and type(line.get("step")) is int
    return line if is_row and all(value is None or type(value) in (int, float) for value in line.values()) else None


def require_sinks(log: LogConfig) -> None:
    """Raises UserError when a sink that the config asks for is not installed. Imports none of them."""
    for name, module in (("tensorboard", "tensorboardX"), ("wandb", "wandb")):
        if getattr(log, name) and importlib.util.find_spec(module) is None:
            raise UserError(f"log.{name} needs an extra: pip install 'jaxdec[{name}]', or leave log.{name} False")


class TensorBoard:
    """Event files under `<run>/tensorboard`."""

    def __init__(self, run_dir: Path) -> None:
        from tensorboardX import SummaryWriter  # pyright: ignore[reportMissingImports]

        self._writer = SummaryWriter(logdir=str(run_dir / "tensorboard"))

    def write(self, step: int, values: Mapping[str, float]) -> None:
        for name, value in values.items():
            self._writer.add_scalar(name, value, step)

    def close(self) -> None:
        self._writer.close()


class WandB:
    """A run of project `jaxdec` on the user's wandb server."""

    def __init__(self, run_dir: Path, config: RunConfig) -> None:
        import wandb  # pyright: ignore[reportMissingImports]

        from jaxdec.config.yaml import config_to_dict

        self._run: Any = wandb.init(
            project="jaxdec", name=run_dir.name, dir=str(run_dir), config=config_to_dict(config), resume="allow"
        )

    def write(self, step: int, values: Mapping[str, float]) -> None:
        self._run.log(dict(values), step=step)

    def close(self) -> None:
        self._run.finish()


def _configured_sinks(run_dir: Path, config: RunConfig) -> Iterable[Sink]:
    require_sinks(config.log)
    windows = "random windows" if isinstance(config.resolved_stage, Pretrain) else ""
    yield Progress(config.train.steps, config.train.tokens_per_step, validated_on=windows)
    if config.log.tensorboard:
        yield TensorBoard(run_dir)
    if config.log.wandb:
        yield WandB(run_dir, config)


def _cannot_write(path: Path, error: OSError) -> UserError:
    return UserError(f"cannot write {path}: {error.strerror or error}; free or unlock the place and resume the run")
