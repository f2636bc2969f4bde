"""What a run reports: its first line, and the numbers of its steps, read one dispatch late.

Reading a number waits for the device. By the time a dispatch is read the next one is under way, so nothing idles; only
before an evaluation or a checkpoint is the last one read at once.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import jax
from jax.sharding import Mesh

from jaxdec.config.model import AnyModel
from jaxdec.config.parts import MoE
from jaxdec.config.run import RunConfig
from jaxdec.config.yaml import differences
from jaxdec.errors import TrainingError
from jaxdec.layers.moe.router import capacity_warning
from jaxdec.training.learner import Learner
from jaxdec.training.optim import learning_rate
from jaxdec.training.state import State
from jaxdec.training.throughput import Throughput

OnMetrics = Callable[[int, Mapping[str, float]], None]  # called with each line of the log
LogLine = tuple[int, dict[str, float]]  # train steps done, and what is known of them by name


class LateMetrics:
    """Turns the metrics of each dispatch into reports, and stops the run at the first that is not finite.

    `newest` says what can be gone back to then. `push` and `flush` are generators: iterate them at once.
    """

    def __init__(self, config: RunConfig, newest: Callable[[], str], throughput: Throughput) -> None:
        self._config, self._newest, self._throughput = config, newest, throughput
        self._pending: tuple[int, int, Any] | None = None
        self._compiled = False  # the first dispatch of a process compiles, which is no measure of its speed
        self._is_timed = False

    def begin(self, step: int) -> None:
        """Called before the batches of step `step` are made: starts the clock when nothing is under way."""
        if self._compiled and not self._is_timed:
            self._throughput.start(time.monotonic(), step)
            self._is_timed = True

    def push(self, step: int, until: int, metrics: dict[str, jax.Array]) -> Iterator[LogLine]:
        """Takes over the metrics, [K] each, of steps step .. until - 1, and yields those before."""
        yield from self._report(after=(until, metrics))
        self._pending = (step, until, metrics)
        if not self._compiled:
            yield from self.flush()
            self._compiled = True

    def flush(self) -> Iterator[LogLine]:
        """Yields what is pending. Raises TrainingError when it is not finite."""
        yield from self._report()
        self._is_timed = False

    def _report(self, after: tuple[int, Any] | None = None) -> Iterator[LogLine]:
        """Yields what is pending; `after`, the dispatch that follows it, may be finished already."""
        if self._pending is None:
            return
        step, until, metrics = self._pending
        self._pending = None
        values = jax.device_get(metrics)
        finished = after[0] if after is not None and all(leaf.is_ready() for leaf in after[1].values()) else until
        now, speed = time.monotonic(), None
        for index in range(until - step):
            done = step + index + 1
            row = {name: float(column[index]) for name, column in values.items()}
            self._require_finite(done, row)
            if done % self._config.train.log_every == 0 or done == self._config.train.steps:
                row["learning_rate"] = float(learning_rate(self._config.optim, self._config.decay_steps, done - 1))
                if speed is None:
                    speed = self._throughput.measure(now, finished) if self._is_timed else {}
                yield done, row | speed

    def _require_finite(self, step: int, row: dict[str, float]) -> None:
        broken = [f"{name} is {value}" for name, value in row.items() if not math.isfinite(value)]
        if broken:
            raise TrainingError(
                f"{' and '.join(broken)} at step {step}: {self._newest()}; lower optim.learning_rate, clip harder, "
                "or use float32"
            )


def describe(config: RunConfig, mesh: Mesh, parts: int, learner: Learner, state: State, throughput: Throughput) -> str:
    """The run in a few words: model, data, devices, precision, kernels. A surprise should show here."""
    devices, model = mesh.devices.flat, config.model
    axes = ", ".join(f"{name} {size}" for name, size in mesh.shape.items())
    trained, frozen = (sum(param.size for param in part.values()) for part in learner.split(state["params"]))
    peak = "" if throughput.peak_tflops is None else f", peak {throughput.peak_tflops:,} TFLOP/s a device"
    done = int(state["step"])
    start = f", resumed at step {done}" if done else f", from {config.init_from}" if config.init_from else ""
    return (
        f"model   {trained + frozen:,} parameters{f', {trained:,} of them trained' if frozen else ''}: "
        f"{wiring(model)}, width {model.width}, context {model.context}, vocabulary {model.vocab_size}\n"
        f"data    {config.data.corpus}: windows of {config.window} tokens, {config.batch_size} a step in {parts} "
        f"microbatch{'es' if parts > 1 else ''}\n"
        f"device  {devices[0].device_kind} x {mesh.size} (mesh {axes}); "
        f"{config.precision.params} parameters, {config.precision.compute} compute, attention by XLA\n"
        f"flops   {throughput.flops_per_step / 1e9:,.3g} GFLOP a step{peak}\n"
        f"run     steps {config.train.steps:,}{start}" + capacity_warnings(config, parts)
    )


def describe_changes(before: RunConfig, after: RunConfig, step: int) -> str:
    """What a resumed run does otherwise from `step` on, a line each, and what that makes of the learning rate."""
    lines = [f"change  {line}" for line in differences(before, after)]
    old, new = (float(learning_rate(config.optim, config.decay_steps, step)) for config in (before, after))
    if old != new:
        lines.append(
            f"change  the learning rate of step {step} is {new:.2e} instead of {old:.2e}: its cosine ends at step "
            f"{after.decay_steps:,}, no more at {before.decay_steps:,} (optim.decay_steps)"
        )
    return "".join(f"{line}\n" for line in lines)


def capacity_warnings(config: RunConfig, parts: int) -> str:
    """A line for each mixture of experts that must drop many assignments of a microbatch; empty when there is none."""
    model = config.model.decoder
    values = () if model is None else model.mlp if isinstance(model.mlp, tuple) else (model.mlp,)
    tokens = config.batch_size // parts * config.window
    said = dict.fromkeys(capacity_warning(value, tokens) for value in values if isinstance(value, MoE))
    return "".join(f"\nwarning {line}" for line in said if line is not None)


def wiring(model: AnyModel) -> str:
    """The kind of model with the numbers of layers and heads that it leaves open: "decoder of 4 layers, 4 heads"."""
    counts = [(name, getattr(model, name)) for name in ("layers", "heads") if hasattr(model, name)]
    parts = [f"{count} {name if count > 1 else name[:-1]}" for name, count in counts]
    return model.kind.replace("_", " ") + (" of " if parts else "") + ", ".join(parts)
