"""The ways in which a command may fail: the user can correct the input, the training itself failed, or a
comparison found a difference.

The first two carry one line that says what, where and what to do; the command line prints that line to stderr and exits
with `exit_code`. Anything else is a bug: the command line prints its traceback and exits with `INTERNAL_ERROR`, so that
no script takes a bug of the checker for a difference between two models.
"""

from __future__ import annotations

import difflib
import signal
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

INTERNAL_ERROR = 3  # the exit code of a bug


class UserError(Exception):
    """Wrong input: one line, nothing half-written, exit code 2. `details` are lines that follow it, where the one line
    speaks of a list: each of the names that do not fit."""

    exit_code = 2

    def __init__(self, line: str = "", details: Iterable[str] = ()) -> None:
        super().__init__(line)
        self.details = tuple(details)

    def within(self, line: str) -> UserError:
        """The same error with another line."""
        return UserError(line, self.details)


class TrainingError(Exception):
    """The input was right and the run still failed (NaN loss, a leak below the entropy floor): exit code 1."""

    exit_code = 1


class Different(Exception):
    """A comparison was made and shown, and its answer is no: `result` is what the command would have returned."""

    exit_code = 1

    def __init__(self, result: Mapping[str, Any]) -> None:
        super().__init__("the two sides differ")
        self.result = dict(result)


class Interrupted(TrainingError):
    """A signal stopped the run after it was saved: exit code 128 + signal, as shells report it."""

    def __init__(self, signal_number: int, step: int, run_dir: Path) -> None:
        name = signal.Signals(signal_number).name
        super().__init__(f"{name} at step {step}, saved; go on with 'jaxdec resume {run_dir}'")
        self.exit_code = 128 + signal_number


def needs_extra(what: str, extra: str) -> UserError:
    """The error of an optional package that is not installed.

    >>> print(needs_extra("parquet files need pyarrow", "data"))
    parquet files need pyarrow, which is not installed: pip install 'jaxdec[data]'
    """
    return UserError(f"{what}, which is not installed: pip install 'jaxdec[{extra}]'")


def listed(names: Iterable[str], most: int = 4) -> str:
    """The first names, and how many more there are.

    >>> listed(["a", "b", "c", "d"], most=2), listed([])
    ('a, b and 2 more', 'none')
    """
    names = list(names)
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more if names else "none"


def nearest(name: str, known: Iterable[str]) -> str:
    """A hint for a mistyped `name`: " (did you mean 'x'?)", or the whole list when nothing is close.

    >>> nearest("playlet", ["playlets", "markov"])
    " (did you mean 'playlets'?)"
    """
    known = list(known)
    close = difflib.get_close_matches(name, known, n=1, cutoff=0.6)
    return f" (did you mean '{close[0]}'?)" if close else f" (known: {', '.join(sorted(known))})"
