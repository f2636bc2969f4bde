"""Downloads from a server on this machine: the checksum decides, mirrors are tried in turn, nothing is half-written."""

from __future__ import annotations

import errno
import hashlib
import http.server
import os
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from jaxdec.data import download
from jaxdec.data.download import fetch
from jaxdec.errors import UserError

CONTENT = b"to be, or not to be\n" * 50
CHECKSUM = hashlib.sha256(CONTENT).hexdigest()


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        bodies = {
            "/good": CONTENT,
            "/other": b"not found, but politely",
            "/longer": CONTENT + b"!",
            "/cut": CONTENT[:100],
        }
        if self.path == "/nonsense":
            self.wfile.write(b"this is not HTTP\r\n\r\n")
            return
        if self.path not in bodies:
            self.send_error(404)
            return
        self.send_response(200)
        self.send_header("Content-Length", str(len(CONTENT) if self.path == "/cut" else len(bodies[self.path])))
        self.end_headers()
        if self.path == "/cut":
            self.close_connection = True
        self.wfile.write(bodies[self.path])

    def log_message(self, format: str, *args: object) -> None:
        """Quiet."""


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as running:
        thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        yield f"http://127.0.0.1:{running.server_port}"
        running.shutdown()
        thread.join()


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("no_proxy", "*")


def get(place: Path, *mirrors: str) -> bytes:
    return fetch("hamlet", mirrors, len(CONTENT), CHECKSUM, place)


def test_the_first_mirror_that_has_it(server: str, tmp_path: Path):
    place = tmp_path / "new" / "hamlet" / "input.txt"
    bad = ("/missing", "/other", "/longer", "/cut", "/nonsense")
    assert get(place, *(server + path for path in bad), server + "/good") == CONTENT
    assert place.read_bytes() == CONTENT
    assert [path.name for path in place.parent.iterdir()] == ["input.txt"]


def test_each_failure_is_named_and_nothing_written(server: str, tmp_path: Path):
    paths = ("/missing", "/other", "/longer", "/cut", "/nonsense")
    with pytest.raises(UserError) as caught:
        get(tmp_path / "data" / "input.txt", *(server + path for path in paths), "no address")
    message = str(caught.value)
    assert f"{server}/missing: Not Found" in message
    assert f"{server}/other: another file (sha256 " in message
    assert f"{server}/longer: another file" in message
    assert f"{server}/cut: " in message
    assert f"{server}/nonsense: this is not HTTP" in message
    assert "no address: unknown url type" in message
    assert "\n" not in message
    assert list(tmp_path.iterdir()) == []


def test_a_silent_server_is_given_up(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.setattr(download, "TIMEOUT", 0.1)
    start = time.monotonic()
    with socket.create_server(("127.0.0.1", 0)) as silent, pytest.raises(UserError, match="timed out"):
        get(tmp_path / "input.txt", f"http://127.0.0.1:{silent.getsockname()[1]}/input.txt")
    assert time.monotonic() - start < download.TIMEOUT + 15  # it is not the default of the system, which is none


def test_a_full_disk_leaves_nothing_behind(server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def write_half(path: Path, content: bytes) -> None:
        with path.open("wb") as file:
            file.write(content[: len(content) // 2])
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(Path, "write_bytes", write_half)
    with pytest.raises(UserError, match="No space left on device"):
        get(tmp_path / "input.txt", server + "/good")
    assert list(tmp_path.iterdir()) == []


def test_a_data_folder_that_cannot_be_written_is_named(server: str, tmp_path: Path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(UserError, match=r"the data file .*input\.txt cannot be written"):
        get(tmp_path / "file" / "input.txt", server + "/good")
