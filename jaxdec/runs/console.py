"""The progress of a run on the terminal: one live line on a terminal, one line per report elsewhere.

Speed and remaining time come from the wall clock between reports, evaluations and checkpoints included, so that the
estimate holds for the whole run; the time before the first report (compilation) does not count.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping


class Progress:
    """A metrics sink. `total` steps of `tokens_per_step` tokens each. `validated_on`: what the validation losses on the
    way are of, where that is said."""

    def __init__(
        self,
        total: int,
        tokens_per_step: int,
        *,
        validated_on: str = "",
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        from rich.console import Console

        self._console = Console(highlight=False, soft_wrap=True)
        self._validated_on = validated_on and f", {validated_on}"
        self._total, self._tokens_per_step, self._clock = total, tokens_per_step, clock
        self._first: tuple[int, float] | None = None
        self._live = None

    def write(self, step: int, values: Mapping[str, float]) -> None:
        if "loss" in values:
            self._report(step, values)
        # Two protocols, a line each: the floor belongs to the targets of the sweep, and to nothing else.
        if "validation_accuracy" in values and "validation_loss" in values:
            loss, accuracy = values["validation_loss"], values["validation_accuracy"]
            self._say(step, f"validation loss {loss:.4f}, accuracy {100 * accuracy:.2f} %")
        elif "validation_loss" in values:
            self._say(step, f"validation loss{self._validated_on} {values['validation_loss']:.4f}")
        if "greedy_accuracy" in values:
            self._say(step, f"greedy answers that are right {values['greedy_accuracy']:.4f}")
        if "sweep_loss" in values:
            shown = [f"validation loss, complete sweep {values['sweep_loss']:.4f}"]
            if "floor" in values and "excess" in values:
                shown.append(f"entropy floor {values['floor']:.4f}  excess {values['excess']:.4f}")
            self._say(step, "  ".join(shown))

    def _say(self, step: int, text: str) -> None:
        self._console.print(f"step {step:>{len(str(self._total))}}  {text}")

    def close(self) -> None:
        if self._live is not None:
            self._live.stop()
            self._live = None

    def _report(self, step: int, values: Mapping[str, float]) -> None:
        now = self._clock()
        self._first = self._first or (step, now)
        speed = eta = ""
        if step > self._first[0] and now > self._first[1]:
            seconds_per_step = (now - self._first[1]) / (step - self._first[0])
            speed = f"  {self._tokens_per_step / seconds_per_step:,.0f} tokens/s"
            eta = f"  ETA {_minutes(seconds_per_step * max(0, self._total - step))}"
        speed = f"  {values['tokens_per_second']:,.0f} tokens/s" if "tokens_per_second" in values else speed
        if "flops_per_second_per_device" in values:
            speed += f"  {_flops(values['flops_per_second_per_device'])}"
        if "mfu" in values:
            speed += f"  MFU {100 * values['mfu']:.1f} %"
        rate = f"  lr {values['learning_rate']:.2e}" if "learning_rate" in values else ""
        reward = f"  reward {values['reward']:.3f}  KL {values['kl']:.4f}" if {"reward", "kl"} <= values.keys() else ""
        done = f"step {step:>{len(str(self._total))}}/{self._total}"
        line = f"{done}  loss {values['loss']:.4f}{reward}{rate}{speed}{eta}"
        if self._console.is_terminal:
            self._refresh(line)
        else:
            self._console.print(line)

    def _refresh(self, line: str) -> None:
        from rich.live import Live

        if self._live is None:
            self._live = Live(console=self._console, auto_refresh=False)
            self._live.start()
        self._live.update(line, refresh=True)


def _flops(per_second: float) -> str:
    """The rate of one device: "12.3 GFLOP/s"."""
    for unit, size in (("T", 1e12), ("G", 1e9), ("M", 1e6)):
        if per_second >= size:
            return f"{per_second / size:.1f} {unit}FLOP/s"
    return f"{per_second:.0f} FLOP/s"


def _minutes(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"
