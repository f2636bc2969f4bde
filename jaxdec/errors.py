"""The two ways in which a run may end early: the user can mend the input, or the training itself failed.

Both carry one line that says what, where and what to do; the command line prints that line to stderr and exits with
`exit_code`. Anything else that reaches the user as a traceback is a bug.
"""

from __future__ import annotations

import difflib
import signal
from collections.abc import Iterable
from pathlib import Path


class UserError(Exception):
    """Wrong input: one line, nothing half-written, exit code 2."""

    exit_code = 2


class TrainingError(Exception):
    """The input was right and the run still failed (NaN loss, a leak below the entropy floor): exit code 1."""

    exit_code = 1


class Interrupted(TrainingError):
    """A signal stopped the run after it was saved: exit code 128 + signal, as shells report it."""

    def __init__(self, signal_number: int, step: int, run_dir: Path) -> None:
        name = signal.Signals(signal_number).name
        super().__init__(f"{name} at step {step}, saved; go on with 'jaxdec resume {run_dir}'")
        self.exit_code = 128 + signal_number


def nearest(name: str, known: Iterable[str]) -> str:
    """A hint for a mistyped `name`: " (did you mean 'x'?)", or the whole list when nothing is close.

    >>> nearest("playlet", ["playlets", "markov"])
    " (did you mean 'playlets'?)"
    """
    known = list(known)
    close = difflib.get_close_matches(name, known, n=1, cutoff=0.6)
    return f" (did you mean '{close[0]}'?)" if close else f" (known: {', '.join(sorted(known))})"
