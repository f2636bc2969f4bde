"""What goes wrong inside a user's model becomes one line: which side, in which module, at which line of which file."""

from __future__ import annotations

import sysconfig
import traceback
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any

from jaxdec.errors import UserError
from jaxdec.parity.adapters.probe import Probe

OURS = str(Path(__file__).parent)
LONGEST = 300  # characters of an error's text
LIBRARIES = tuple({sysconfig.get_path("purelib"), sysconfig.get_path("platlib"), sysconfig.get_path("stdlib")})


@contextmanager
def calling(side: str, batch: Mapping[str, Any], probe: Probe | None = None) -> Iterator[None]:
    """Raises UserError in place of whatever the block raises; a UserError passes unchanged."""
    try:
        yield
    except UserError:
        raise
    except Exception as error:
        if type(error).__name__ == "UnexpectedTracerError":  # a tap in a place where there can be none
            raise
        where = f" in {probe.running[-1]}" if probe is not None and probe.running else ""
        raise UserError(f"the {side}{where}{place_of(error.__traceback__)} {_said(error, batch)}") from error


def _said(error: Exception, batch: Mapping[str, Any]) -> str:
    if isinstance(error, KeyError) and error.args and error.args[0] not in batch and _is_batch_key(error.args[0]):
        return (
            f"reads '{error.args[0]}', and the batch has {', '.join(batch)}: give it by Pair(batches=...), and set "
            "continues=False where a text alone is not enough"
        )
    text = " ".join(str(error).split())
    shown = f"raised {type(error).__name__}" + (f": {text[:LONGEST]}" if text else "")
    if isinstance(error, IndexError):
        shown += "; do vocab_size and context of the pair fit the model's tables?"
    return shown


def _is_batch_key(key: Any) -> bool:
    """A plain word: parameters have dotted names."""
    return isinstance(key, str) and key.isidentifier()


def place_of(trace: TracebackType | None) -> str:
    """` (my_port.py, line 31)`: the last line of a way that is neither a library's nor ours."""
    frames = [
        frame
        for frame in traceback.extract_tb(trace)
        if not frame.filename.startswith((OURS, *LIBRARIES)) and not frame.filename.startswith("<")
    ]
    return f" ({Path(frames[-1].filename).name}, line {frames[-1].lineno})" if frames else ""
