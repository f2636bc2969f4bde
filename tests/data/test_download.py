"""Downloads from a server on this machine: the checksum decides, mirrors are tried in turn, nothing is half-written."""

from __future__ import annotations

import contextlib
import email.utils
import errno
import hashlib
import http.server
import io
import os
import socket
import ssl
import sys
import threading
import time
import tracemalloc
import urllib.error
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import ClassVar

import pytest

from jaxdec.data import download, partial
from jaxdec.data.download import fetch
from jaxdec.errors import UserError

CONTENT = b"to be, or not to be\n" * 50
CHECKSUM = hashlib.sha256(CONTENT).hexdigest()
LARGE = b"".join(b"%07d\n" % number for number in range(2**19))  # 4 MiB, each line another
LARGE_CHECKSUM = hashlib.sha256(LARGE).hexdigest()


class Handler(http.server.BaseHTTPRequestHandler):
    asked: ClassVar[list[tuple[str, str | None]]] = []  # path and range of each request

    def do_GET(self) -> None:
        self.asked.append((self.path, self.headers["Range"]))
        times = [path for path, _ in self.asked].count(self.path)
        bodies = {
            "/good": CONTENT,
            "/other": b"not found, but politely",
            "/longer": CONTENT + b"!",
            "/cut": CONTENT[:100],
            "/less": CONTENT,
            "/more": CONTENT,
            "/large": LARGE,
        }
        match self.path.split("/")[1:]:
            case ["nonsense"]:
                self.wfile.write(b"this is not HTTP\r\n\r\n")
            case ["busy", code, wait, calm] if times < int(calm):
                self.send_response(int(code))
                if wait != "none":
                    self.send_header("Retry-After", wait)
                self.send_header("Content-Length", "0")
                self.end_headers()
            case ["busy", *_]:
                self.answer(CONTENT, len(CONTENT))
            case ["ranges", *_]:
                self.ranges(self.path, times)
            case _ if self.path in bodies:
                body = bodies[self.path]
                announced = {"/cut": len(CONTENT), "/less": len(body) - 7, "/more": len(body) + 7}
                self.answer(body, announced.get(self.path, len(body)))
            case _:
                self.send_error(404)

    def answer(self, body: bytes, announced: int, status: int = 200, **headers: str) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(announced))
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.close_connection = True
        with contextlib.suppress(ConnectionError):  # the other side may have read enough
            self.wfile.write(body)

    def ranges(self, path: str, times: int) -> None:
        """`/ranges/N`: breaks off after N bytes of each answer; `/ranges/N/KIND`: and does something wrong."""
        _, _, most, *kind = path.split("/")
        start = int((self.headers["Range"] or "bytes=0-").removeprefix("bytes=").removesuffix("-"))
        if kind == ["ignored"]:
            start = 0
        if kind == ["wrong"] and times == 2:
            start += 5
        status, headers = (
            (200, {}) if start == 0 else (206, {"Content_Range": f"bytes {start}-{len(LARGE)}/{len(LARGE)}"})
        )
        body = LARGE[start:] if kind != ["ignored"] or times > 1 else LARGE[: int(most)]
        self.answer(body[: int(most)] if kind != ["ignored"] else body, len(LARGE) - start, status, **headers)

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
def waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """How long was waited between tries: noted, and not done."""
    monkeypatch.setenv("no_proxy", "*")
    waited: list[float] = []
    monkeypatch.setattr(download.time, "sleep", waited.append)
    Handler.asked.clear()
    return waited


def get(place: Path, *mirrors: str) -> bytes:
    fetch("hamlet", mirrors, len(CONTENT), CHECKSUM, place)
    return place.read_bytes()


def get_large(place: Path, *mirrors: str, size: int | None = len(LARGE)) -> bytes:
    fetch("large", mirrors, size, LARGE_CHECKSUM, place)
    return place.read_bytes()


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
    def full(file: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(UserError, match="No space left on device"):
        get(tmp_path / "input.txt", server + "/good")
    assert list(tmp_path.iterdir()) == []


def test_a_data_folder_that_cannot_be_written_is_named(server: str, tmp_path: Path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(UserError, match=r"the data file .*input\.txt cannot be written"):
        get(tmp_path / "file" / "input.txt", server + "/good")


@pytest.mark.parametrize("code", [429, 500, 503])
def test_a_busy_mirror_is_asked_again(server: str, tmp_path: Path, waits: list[float], code: int):
    assert get(tmp_path / "input.txt", f"{server}/busy/{code}/none/4") == CONTENT
    assert len(waits) == 3
    assert all(0.5 * 2**n <= wait <= 1.5 * 2**n for n, wait in enumerate(waits)), "twice as long each time, about"


def test_a_mirror_says_how_long_to_wait(server: str, tmp_path: Path, waits: list[float]):
    later = email.utils.formatdate(time.time() + 30, usegmt=True).replace(" ", "%20")
    assert get(tmp_path / "a", f"{server}/busy/503/7/2") == CONTENT
    assert waits == [7.0]
    with pytest.raises(UserError, match=r"Service Unavailable \(503\), and asks to wait 3,600 seconds"):
        get(tmp_path / "b", f"{server}/busy/503/3600/9")
    assert download._asked_to_wait({"Retry-After": later.replace("%20", " ")}) == pytest.approx(30, abs=2)
    assert download._asked_to_wait({"Retry-After": "soon"}) is None


def test_a_mirror_that_stays_busy_is_given_up(server: str, tmp_path: Path, waits: list[float]):
    with pytest.raises(UserError, match=r"/busy/503/none/99: Service Unavailable \(503\) \(4 times\); .*/missing"):
        get(tmp_path / "input.txt", f"{server}/busy/503/none/99", f"{server}/missing")
    assert len(waits) == 3
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("error", "tries"),
    [
        (ConnectionResetError("lost"), 4),
        (TimeoutError("timed out"), 4),
        (ssl.SSLEOFError("lost"), 4),
        (ssl.SSLCertVerificationError("not theirs"), 1),
        (ConnectionRefusedError("refused"), 1),
        (socket.gaierror("unknown name"), 1),
    ],
)
@pytest.mark.parametrize("wrapped", [True, False])
def test_what_may_pass_is_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: OSError, tries: int, wrapped: bool
):
    asked = []

    def fail(*_: object, **__: object) -> None:
        asked.append(1)
        raise urllib.error.URLError(error) if wrapped else error

    monkeypatch.setattr(download.urllib.request, "urlopen", fail)
    with pytest.raises(UserError, match=str(error)):
        get(tmp_path / "input.txt", "https://example.org/input.txt")
    assert len(asked) == tries


def test_what_does_not_exist_is_asked_for_once(server: str, tmp_path: Path, waits: list[float]):
    assert get(tmp_path / "input.txt", f"{server}/missing", f"{server}/good") == CONTENT
    assert waits == []


@pytest.mark.parametrize("path", ["/less", "/more"])
def test_a_wrong_length_is_not_believed(server: str, tmp_path: Path, path: str):
    with pytest.raises(UserError, match="another file" if path == "/less" else "another file|broke off"):
        get(tmp_path / "input.txt", server + path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("size", [len(LARGE), None])
def test_a_cut_download_goes_on_where_it_stopped(server: str, tmp_path: Path, waits: list[float], size: int | None):
    assert get_large(tmp_path / "large", f"{server}/ranges/1500000", size=size) == LARGE
    assert [asked for _, asked in Handler.asked] == [None, "bytes=1500000-", "bytes=3000000-"]
    assert [path.name for path in tmp_path.iterdir()] == ["large"]


@pytest.mark.parametrize("kind", ["ignored", "wrong"])
def test_a_server_that_answers_with_another_range(server: str, tmp_path: Path, kind: str):
    assert get_large(tmp_path / "large", f"{server}/ranges/1500000/{kind}") == LARGE


def test_the_next_download_goes_on_with_what_is_kept(server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    place = tmp_path / "data" / "large"
    monkeypatch.setattr(download, "TRIES", 1)
    with pytest.raises(
        UserError, match=r"broke off after 3,000,000 of 4,194,304 .* The 3,000,000 bytes that came are kept"
    ):
        get_large(place, f"{server}/ranges/3000000")
    assert [path.name for path in place.parent.iterdir()] == [".large.part"]
    Handler.asked.clear()
    assert get_large(place, f"{server}/ranges/9000000") == LARGE
    assert Handler.asked == [("/ranges/9000000", "bytes=3000000-")]
    assert [path.name for path in place.parent.iterdir()] == ["large"]


def test_what_was_kept_of_another_file_does_not_stay(server: str, tmp_path: Path):
    (tmp_path / ".large.part").write_bytes(LARGE[::-1][:2_000_000])
    assert get_large(tmp_path / "large", f"{server}/ranges/9000000") == LARGE
    (tmp_path / "large").unlink()
    (tmp_path / ".large.part").write_bytes(LARGE + b"and more")
    assert get_large(tmp_path / "large", f"{server}/ranges/9000000") == LARGE


def test_two_that_want_the_same_file_download_it_once(server: str, tmp_path: Path):
    place = tmp_path / "data" / "large"
    threads = [threading.Thread(target=get_large, args=(place, f"{server}/ranges/9000000")) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert place.read_bytes() == LARGE
    assert len(Handler.asked) == 1


def test_a_disk_without_room_is_seen_before(server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(partial.shutil, "disk_usage", lambda _: SimpleNamespace(free=1_000_000))
    with pytest.raises(
        UserError, match="needs 4 MB more, and its disk has 1 MB: free space there, or set JAXDEC_DATA_DIR"
    ):
        get_large(tmp_path / "large", f"{server}/large")
    assert list(tmp_path.iterdir()) == []


def test_a_download_is_never_whole_in_memory(server: str, tmp_path: Path):
    tracemalloc.start()
    try:
        fetch("large", (f"{server}/large",), len(LARGE), LARGE_CHECKSUM, tmp_path / "large")
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 2**21


def test_the_bar_shows_rate_and_time_left_on_a_terminal(server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    monkeypatch.setattr(sys, "stderr", terminal := Terminal())
    monkeypatch.setenv("TERM", "xterm")
    get_large(tmp_path / "large", f"{server}/large")
    shown = terminal.getvalue()
    assert "large" in shown
    assert "/4.2 MB" in shown
    monkeypatch.setattr(sys, "stderr", quiet := io.StringIO())
    get_large(tmp_path / "again", f"{server}/large")
    assert quiet.getvalue() == ""
