"""What a run says: its first line, and the numbers of its steps, read one dispatch late.

Reading a number waits for the device. By the time a dispatch is read the next one is under way, so nothing idles; only
before an evaluation or a checkpoint is the last one read at once.
"""

from __future__ import annotations

import math
import time
from typing import Any

import jax
from jax.sharding import Mesh

from jaxdec.checkpoints.checkpoints import Checkpoints
from jaxdec.config.model import AnyModel
from jaxdec.config.parts import MoE
from jaxdec.config.run import RunConfig
from jaxdec.errors import TrainingError
from jaxdec.layers.moe.router import capacity_warning
from jaxdec.models.functional import Params
from jaxdec.runs.metrics import MetricsLog
from jaxdec.training.optim import learning_rate


class LateMetrics:
    """Passes the metrics of each dispatch to the log, and stops the run at the first that is not finite."""

    def __init__(self, config: RunConfig, log: MetricsLog, checkpoints: Checkpoints) -> None:
        self._config, self._log, self._checkpoints = config, log, checkpoints
        self._pending: tuple[int, int, Any] | None = None
        self._last_read: float | None = None  # None: the next dispatch includes time spent on other things

    def push(self, step: int, until: int, metrics: dict[str, jax.Array]) -> None:
        """Takes over the metrics, [K] each, of steps step .. until - 1, and reports those before."""
        self._report()
        self._pending = (step, until, metrics)

    def flush(self) -> None:
        """Reports what is pending. Raises TrainingError when it is not finite."""
        self._report()
        self._last_read = None

    def _report(self) -> None:
        if self._pending is None:
            return
        step, until, metrics = self._pending
        self._pending = None
        values = jax.device_get(metrics)
        now, before = time.monotonic(), self._last_read
        self._last_read = now
        for index in range(until - step):
            done = step + index + 1
            row = {name: float(column[index]) for name, column in values.items()}
            self._require_finite(done, row)
            if done % self._config.train.log_every == 0 or done == self._config.train.steps:
                row["learning_rate"] = float(learning_rate(self._config.optim, self._config.decay_steps, done - 1))
                if before is not None:
                    row["tokens_per_second"] = (until - step) * self._config.train.tokens_per_step / (now - before)
                self._log.write(done, row)

    def _require_finite(self, step: int, row: dict[str, float]) -> None:
        broken = [f"{name} is {value}" for name, value in row.items() if not math.isfinite(value)]
        if not broken:
            return
        self._checkpoints.wait()  # one may be on its way to the disk
        saved = self._checkpoints.steps()
        folder = self._checkpoints.folder
        last = f"the last good checkpoint is {folder / str(saved[-1])}" if saved else "no checkpoint was saved"
        raise TrainingError(
            f"{' and '.join(broken)} at step {step}: {last}; lower optim.learning_rate, clip harder, or use float32"
        )


def describe(config: RunConfig, mesh: Mesh, parts: int, params: Params, *, resumed_at: int) -> str:
    """The run in a few words: model, data, devices, precision, kernels. A surprise should show here."""
    devices, model = mesh.devices.flat, config.model
    axes = ", ".join(f"{name} {size}" for name, size in mesh.shape.items())
    size = sum(param.size for param in params.values())
    start = f", resumed at step {resumed_at}" if resumed_at else ""
    return (
        f"model   {size:,} parameters: {wiring(model)}, width {model.width}, "
        f"context {model.context}, vocabulary {model.vocab_size}\n"
        f"data    {config.data.corpus}: windows of {config.window} tokens, {config.batch_size} a step in {parts} "
        f"microbatch{'es' if parts > 1 else ''}\n"
        f"device  {devices[0].device_kind} x {mesh.size} (mesh {axes}); "
        f"{config.precision.params} parameters, {config.precision.compute} compute, attention by XLA\n"
        f"run     steps {config.train.steps:,}{start}" + capacity_warnings(config, parts)
    )


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
