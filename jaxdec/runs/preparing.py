"""What a person sees while shards are made: a bar on a terminal, elsewhere a plain line now and then; on stderr."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from types import TracebackType
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from rich.progress import Progress as Bar

    from jaxdec.data.shards import Progress

EVERY = 10.0  # seconds between plain lines


class Preparing:
    """A context manager, and the report that `prepare` calls. Rate and time left are of what is being done now."""

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._what = ""
        self._first: tuple[float, int, float] = (0.0, 0, 0.0)  # when it began, with how many characters and share
        self._told = clock()
        self._bar: Bar | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.stop()

    def __call__(self, progress: Progress) -> None:
        now = self._clock()
        is_new = progress.what != self._what
        if is_new:
            self._what = progress.what
            self._first = (now, progress.characters, progress.share or 0.0)
        line = self.line(progress, now)
        if sys.stderr.isatty():
            self._draw(progress, line)
        elif now - self._told >= EVERY or (is_new and not line):
            self._told = now
            print(f"{progress.what}  {line}".rstrip(), file=sys.stderr, flush=True)

    def line(self, progress: Progress, now: float) -> str:
        """ "41 %  412 M characters, 103 M tokens  11.8 M/s  0:50 left", as far as it is known."""
        began, characters, share = self._first
        parts = [] if progress.share is None else [f"{100 * progress.share:.0f} %"]
        if progress.characters:
            tokens = f", {progress.tokens / 1e6:,.1f} M tokens" if progress.tokens else ""
            parts.append(f"{progress.characters / 1e6:,.1f} M characters{tokens}")
        seconds = now - began
        if seconds > 0 and progress.characters > characters:
            parts.append(f"{(progress.characters - characters) / 1e6 / seconds:,.1f} M/s")
        if seconds > 0 and progress.share is not None and progress.share > share:
            parts.append(f"{_time(seconds * (1 - progress.share) / (progress.share - share))} left")
        return "  ".join(parts)

    def _draw(self, progress: Progress, line: str) -> None:
        if self._bar is None:
            from rich.console import Console
            from rich.progress import BarColumn, TextColumn
            from rich.progress import Progress as Bar

            columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[line]}"))
            self._bar = Bar(*columns, console=Console(file=sys.stderr), transient=True)
            self._bar.add_task(progress.what, total=1.0, line=line)
            self._bar.start()
        total = None if progress.share is None else 1.0
        task = self._bar.task_ids[0]
        self._bar.update(task, description=progress.what, total=total, completed=progress.share or 0.0, line=line)


def _time(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
