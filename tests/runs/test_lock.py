"""One writer per run directory; a lock whose holder has ended is no lock."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from jaxdec.errors import UserError
from jaxdec.runs import lock
from jaxdec.runs.lock import LOCK, locked, require_unlocked

HOLDING = """
import sys, time
from pathlib import Path
from jaxdec.runs.lock import locked
with locked(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(600)
"""


@pytest.fixture
def holder(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """A process that holds the lock of tmp_path/run."""
    words = [sys.executable, "-c", HOLDING, str(tmp_path / "run")]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None and process.stdout.readline() == "held\n"
        yield process
        process.kill()


@pytest.fixture(params=["flock", "no flock"])
def system(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """With the system's lock, and where there is none, as on some network file systems."""
    if request.param == "no flock":
        monkeypatch.setattr(lock, "_flock", lambda file: True)
    return request.param


@pytest.mark.usefixtures("system")
def test_the_second_is_told_who_holds_it(holder: subprocess.Popen[str], tmp_path: Path) -> None:
    said = rf"run is being written by process {holder.pid} on {socket.gethostname()}, since \d{{4}}-\d\d-\d\d .*wait"
    with pytest.raises(UserError, match=said), locked(tmp_path / "run"):
        pytest.fail("two hold one lock")
    with pytest.raises(UserError, match=said):
        require_unlocked(tmp_path / "run")
    assert holder.poll() is None
    assert json.loads((tmp_path / "run" / LOCK).read_text())["pid"] == holder.pid, "the refused one changed nothing"


@pytest.mark.usefixtures("system")
def test_a_killed_holder_is_no_holder(holder: subprocess.Popen[str], tmp_path: Path) -> None:
    holder.send_signal(signal.SIGKILL)
    holder.wait()
    assert (tmp_path / "run" / LOCK).exists()
    require_unlocked(tmp_path / "run")
    with locked(tmp_path / "run"):
        assert json.loads((tmp_path / "run" / LOCK).read_text())["pid"] == os.getpid()


@pytest.mark.skipif(sys.platform == "win32", reason="flock")
def test_the_lock_of_the_system_decides_where_there_is_one(holder: subprocess.Popen[str], tmp_path: Path) -> None:
    """As for a process in another container of this host: its number means nothing here."""
    path = tmp_path / "run" / LOCK
    path.write_text(json.dumps(json.loads(path.read_text()) | {"pid": 2**22 + 1}))
    with pytest.raises(UserError, match=rf"by process {2**22 + 1} on"), locked(tmp_path / "run"):
        pytest.fail(f"process {holder.pid} holds it")


def written(folder: Path, **changes: object) -> Path:
    """A lock file left by this process, with changes."""
    with locked(folder):
        holder = json.loads((folder / LOCK).read_text())
        (folder / "file").write_text("so that the folder stays")
    (folder / LOCK).write_text(json.dumps(holder | changes))
    return folder


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="the start of a process is read from /proc")
def test_a_later_process_of_the_same_number_is_another(tmp_path: Path) -> None:
    with locked(written(tmp_path / "run", started="another boot 77")):
        pass
    with pytest.raises(UserError, match=rf"process {os.getpid()} "), locked(written(tmp_path / "other")):
        pytest.fail("this very process is alive")


def test_a_process_of_another_host_cannot_be_seen(tmp_path: Path) -> None:
    folder = written(tmp_path / "run", host="node17", pid=4)
    said = rf"process 4 on node17, since .*: when that process has ended, remove {folder / LOCK}"
    with pytest.raises(UserError, match=said), locked(folder):
        pytest.fail("it may be alive")
    (folder / LOCK).unlink()
    with locked(folder):
        pass


@pytest.mark.parametrize("content", ["", "{", "[]", '{"host": 1}', "\0\0"])
def test_a_lock_that_names_nobody_is_free(content: str, tmp_path: Path) -> None:
    """A kill may come between making the file and writing the name into it."""
    (tmp_path / LOCK).write_text(content)
    with locked(tmp_path):
        assert json.loads((tmp_path / LOCK).read_text())["pid"] == os.getpid()


def test_nothing_is_left_behind(tmp_path: Path) -> None:
    with locked(tmp_path / "deep" / "run"):
        assert (tmp_path / "deep" / "run" / LOCK).exists()
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "mine").mkdir()
    with locked(tmp_path / "mine"):
        pass
    assert list((tmp_path / "mine").iterdir()) == []


def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no folder")
    with pytest.raises(UserError, match="cannot write the run directory"), locked(tmp_path / "file" / "run"):
        pytest.fail("there is no such folder")
