"""What orbax and tensorstore leave behind after an error that was told once."""

import subprocess
import sys

import pytest

DROPPED = """
import asyncio, gc, sys
from jaxdec.checkpoints.orbax import orbax

orbax()
loop = asyncio.new_event_loop()
future = loop.create_future()
future.set_exception(ValueError(sys.argv[1]))
del future
gc.collect()
"""


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("OUT_OF_RANGE: Error writing 'a/0.0' in OCDBT database at local file '/tmp/x': Failed to write", False),
        ("DATA_LOSS: Error opening 'zarr' driver [tensorstore_spec='{}']", False),
        ("Event loop is closed", False),
        ("a future of somebody else's", True),
        ("out_of_range: as somebody else would write it", True),
    ],
)
def test_only_what_tensorstore_left_behind_is_dropped(text: str, told: bool) -> None:
    done = subprocess.run([sys.executable, "-c", DROPPED, text], capture_output=True, text=True, check=True)
    assert (text in done.stderr) == told, done.stderr
    assert ("never retrieved" in done.stderr) == told, done.stderr
