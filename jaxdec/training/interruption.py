"""Turning SIGTERM and Ctrl-C into a request that the loop answers at the end of a dispatch, after saving."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator
from dataclasses import dataclass


@dataclass
class Interruption:
    """`signal` is the number of the first one caught, or None."""

    signal: int | None = None


@contextlib.contextmanager
def interruptions() -> Iterator[Interruption]:
    """Catches SIGTERM and SIGINT inside the block; a second one acts as it would have without us.

    Outside the main thread Python cannot set handlers, and the block catches nothing.
    """
    caught = Interruption()
    if threading.current_thread() is not threading.main_thread():
        yield caught
        return
    signals = (signal.SIGTERM, signal.SIGINT)
    before = {number: signal.getsignal(number) for number in signals}

    def restore() -> None:
        for number, handler in before.items():
            signal.signal(number, handler)

    def request(number: int, frame: object) -> None:
        caught.signal = number
        restore()

    for number in signals:
        signal.signal(number, request)
    try:
        yield caught
    finally:
        restore()
