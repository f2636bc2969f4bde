"""Saves that the operating system refuses: one line, and nothing left that looks like a checkpoint."""

import json
import re
import subprocess
import sys
from pathlib import Path

import jax.numpy as jnp
import pytest

from jaxdec.checkpoints.checkpoints import Checkpoints
from jaxdec.errors import TrainingError, UserError

# A limit on the size of a file fails writes as a full disk does, in the middle and in any of orbax's threads: Python
# ignores SIGXFSZ, so that the write returns an error. How many arrays share a file depends on the threads' timing, but
# none is split: limits that follow from the measured size of an array hold for any grouping.
FULL_DISK = """
import json, resource, sys
from pathlib import Path
import jax
from jaxdec.checkpoints.checkpoints import Checkpoints
from jaxdec.errors import UserError

folder = Path(sys.argv[1])
small = {f"small{i}": jax.random.normal(jax.random.key(i), (200, 200)) for i in range(5)}
state = {"params": small | {"large": jax.random.normal(jax.random.key(9), (600, 600))}}
checkpoints = Checkpoints(folder, keep=2)
checkpoints.save(1, state, {})
checkpoints.wait()
written = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
one = written / (len(small) + 9)  # bytes of a small array on disk; the large one holds nine times as many numbers
metadata, meta, any_array, large_alone = 100, 3000, one * 0.6, (len(small) + 9) / 2 * one
for step, limit in enumerate(map(int, (0, metadata, meta, any_array, large_alone)), start=2):
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
    line = None
    try:
        checkpoints.save(step, state, {})
        checkpoints.close()
    except UserError as error:
        line = str(error)
    checkpoints.close()
    print(json.dumps({"limit": limit, "line": line, "left": sorted(path.name for path in folder.iterdir())}))
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
checkpoints.save(99, state, {})
checkpoints.close()
print(json.dumps(checkpoints.steps()))
"""


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no limit on the size of a file")
def test_a_full_disk_is_one_line_and_leaves_nothing(tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, "-c", FULL_DISK, str(tmp_path)], capture_output=True, text=True, check=True)
    assert done.stderr == "", done.stderr
    *failures, after = map(json.loads, done.stdout.splitlines())
    assert len(failures) == 5
    for step, failure in enumerate(failures, start=2):
        assert failure["left"] == ["1"], failure
        assert failure["line"] is not None, failure
        told = f"checkpoint {step} could not be saved in {tmp_path}: File too large; the newest good checkpoint is 1;"
        assert failure["line"].startswith(told), failure
        assert "\n" not in failure["line"]
    assert after == [1, 99]


def save_and_wait(checkpoints: Checkpoints) -> None:
    checkpoints.save(4, {"step": jnp.int32(4)}, {})
    checkpoints.wait()


@pytest.mark.parametrize("where", ["under a file", "/proc"])
def test_a_folder_that_cannot_be_made(tmp_path: Path, where: str) -> None:
    # A root user may write through any permission bits: these two refuse root too.
    file = tmp_path / "file"
    file.write_text("here first")
    folder = file / "checkpoints" if where == "under a file" else Path("/proc/jaxdec/checkpoints")
    if where == "/proc" and not Path("/proc").is_dir():
        pytest.skip("this system has no /proc")
    checkpoints = Checkpoints(folder, keep=2)
    refused = rf"checkpoint 4 could not be saved in {re.escape(str(folder))}: .+; there is no older checkpoint"
    with pytest.raises(UserError, match=refused):
        save_and_wait(checkpoints)
    checkpoints.close()
    assert checkpoints.steps() == []
    assert file.read_text() == "here first"


def test_an_error_that_is_not_the_users_is_not_called_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    checkpoints = Checkpoints(tmp_path, keep=2)

    class Broken:
        def save(self, *args: object, **kwargs: object) -> None:
            raise ValueError("a fault\nin orbax")

        def close(self) -> None: ...

    monkeypatch.setattr(checkpoints, "_open_manager", Broken)
    with pytest.raises(TrainingError, match=r"checkpoint 1 could not be saved in .*: ValueError: a fault in orbax; "):
        checkpoints.save(1, {"step": jnp.int32(1)}, {})


def test_meta_that_json_cannot_hold_fails_before_anything_is_written(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path / "run", keep=2)
    with pytest.raises(TypeError, match="JSON"):
        checkpoints.save(1, {"step": jnp.int32(1)}, {"seed": object()})
    assert not (tmp_path / "run").exists()
