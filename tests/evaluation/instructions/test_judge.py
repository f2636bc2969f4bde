"""The judge, against a server on this machine: what it is sent, and what becomes of replies that are no scores."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from jaxdec.errors import UserError
from jaxdec.evaluation.instructions.judge import KEY, Judge, judge_all

Reply = Callable[[int], tuple[int, Any]]  # the number of the request -> HTTP status and what is sent back


class Stub:
    """An endpoint on 127.0.0.1 that keeps what it was sent."""

    def __init__(self, reply: Reply) -> None:
        self.requests: list[tuple[str, dict[str, str], Any]] = []
        stub = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                stub.requests.append((self.path, dict(self.headers), body))
                status, value = reply(len(stub.requests))
                content = value if isinstance(value, bytes) else json.dumps(value).encode()
                self.send_response(status)
                self.send_header("Content-Length", str(len(content)))
                self.send_header("Location", "http://127.0.0.1:9/elsewhere")
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, format: str, *args: Any) -> None:
                return

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server.server_port}/v1"


@contextmanager
def serving(reply: Reply) -> Iterator[Stub]:
    stub = Stub(reply)
    thread = threading.Thread(target=stub.server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield stub
    finally:
        stub.server.shutdown()
        thread.join()
        stub.server.server_close()


def says(text: Any) -> dict[str, Any]:
    return {"choices": [{"message": {"role": "assistant", "content": text}}]}


def records(count: int) -> list[dict[str, Any]]:
    return [
        {"instruction": f"Task {number}.", "input": "about it", "reference": "good", "response": "{input} %s"}
        for number in range(count)
    ]


def judge(url: str) -> Judge:
    return Judge(url, "some-model", timeout=5.0, pause=0.0)


def test_scores_are_read_and_what_is_sent_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(KEY, "secret")
    asked = records(2)
    with serving(lambda number: (200, says(f"Score: {40 * number}\n"))) as stub:
        found = judge_all(judge(stub.url + "/"), asked)
    assert found == {"judge_score": 60.0, "judged": 2, "asked": 2, "unjudged": {}}
    assert [record["judge"] for record in asked] == [40, 80]
    path, headers, body = stub.requests[0]
    assert path == "/v1/chat/completions" and headers["Authorization"] == "Bearer secret"
    assert body["model"] == "some-model" and body["temperature"] == 0
    prompt = body["messages"][0]["content"]
    for part in ("Task 0.\n\nabout it", "good", "{input} %s", "0 to 100"):
        assert part in prompt


def test_nonsense_leaves_partial_scores_that_say_so() -> None:
    replies = [
        says("70"),
        says("very good"),
        says("101"),
        says("4 of 5"),
        says(None),
        {"error": 1},
        b"<html>",
        says("-3"),
    ]
    asked = records(len(replies))
    with serving(lambda number: (200, replies[number - 1])) as stub:
        found = judge_all(judge(stub.url), asked)
    assert (found["judge_score"], found["judged"], found["asked"]) == (70.0, 1, 8)
    assert found["unjudged"] == {
        "its reply was no whole number from 0 to 100": 4,
        "its reply was no chat completion": 2,
        "its reply had no text": 1,
    }
    assert [record["judge"] for record in asked] == [70] + [None] * 7


def test_a_busy_judge_is_asked_again_and_a_wrong_key_is_not() -> None:
    with serving(lambda number: (503, {}) if number < 3 else (200, says("50"))) as stub:
        assert judge_all(judge(stub.url), records(1))["judge_score"] == 50.0
    assert len(stub.requests) == 3
    for status in (401, 302):  # a key does not follow a redirect
        with serving(lambda number, status=status: (status, {})) as stub:
            found = judge_all(judge(stub.url), records(4))
        assert len(stub.requests) == 1 and found["judged"] == 0
        assert any(f"HTTP {status}" in reason for reason in found["unjudged"])


def test_a_judge_that_is_down_is_given_up() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}/v1"
    found = judge_all(judge(url), records(9))
    assert found["judge_score"] is None and found["judged"] == 0
    assert found["unjudged"]["not asked, since the judge was down"] == 6
    assert any("no reply after 3 attempts" in reason for reason in found["unjudged"])


@pytest.mark.parametrize("url", ["file:///etc/passwd", "127.0.0.1:8000", "http://"])
def test_what_is_no_address_is_refused(url: str) -> None:
    with pytest.raises(UserError, match="is no address"):
        Judge(url, "m")
    with pytest.raises(UserError, match="--judge-model"):
        Judge("http://127.0.0.1", "")
