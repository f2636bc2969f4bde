"""A console that may be closed: when nobody reads the output of a long run any more, the run goes on."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TextIO


class Lasting:
    """A text stream that drops what it is given once its reader has gone; `on_gone` is called at that moment."""

    def __init__(self, stream: TextIO, on_gone: Callable[[], None]) -> None:
        self._stream, self._on_gone, self._gone = stream, on_gone, False

    def write(self, text: str) -> int:
        self._unless_gone(lambda: self._stream.write(text))
        return len(text)

    def flush(self) -> None:
        self._unless_gone(self._stream.flush)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def _unless_gone(self, act: Callable[[], object]) -> None:
        if self._gone:
            return
        try:
            act()
        except BrokenPipeError:
            self._gone = True
            silence(self._stream)
            self._on_gone()


@contextlib.contextmanager
def lasting_console(run_dir: Path) -> Iterator[None]:
    """Inside the block a reader that leaves, as in `jaxdec train ... | head`, ends nothing; stderr says so, once."""

    def tell() -> None:
        line = f"the reader of this output has gone: the run goes on, its numbers go to {run_dir / 'metrics.jsonl'}"
        print(f"jaxdec: {line}", file=sys.stderr, flush=True)

    before = sys.stdout, sys.stderr
    errors = Lasting(sys.stderr, lambda: None)
    # With --json both are one stream.
    sys.stdout = Lasting(sys.stdout, tell) if sys.stdout is not sys.stderr else errors  # type: ignore[assignment]
    sys.stderr = errors  # type: ignore[assignment]
    try:
        yield
        sys.stdout.flush()
    finally:
        sys.stdout, sys.stderr = before


def silence(stream: TextIO) -> None:
    """Lets a stream without a reader write into nothing, what it still holds in its buffer too."""
    with contextlib.suppress(OSError, ValueError):  # not a file of the system
        nothing = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nothing, stream.fileno())
        os.close(nothing)
