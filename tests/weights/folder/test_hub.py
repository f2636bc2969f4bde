"""Hub ids: what is fetched, from a server of this machine that answers as the hub does."""

from __future__ import annotations

import importlib
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from jaxdec.errors import UserError
from jaxdec.weights.folder.hub import is_hub_id, local_place, needed

pytest.importorskip("huggingface_hub", reason="the extra huggingface")
constants = importlib.import_module("huggingface_hub.constants")
SHA = "a" * 40
FILES = {
    "config.json": b'{"model_type": "gpt2"}',
    "model.safetensors": b"safe",
    "pytorch_model.bin": b"a pickle",
    "README.md": b"words",
    "tokenizer.json": b"{}",
}


class Hub(BaseHTTPRequestHandler):
    """`owner/tiny` with one revision beside the main one, `v1`; anything else is not found."""

    asked: list[str]

    def do_GET(self) -> None:
        self.answer(send=True)

    def do_HEAD(self) -> None:
        self.answer(send=False)

    def answer(self, send: bool) -> None:
        path = self.path.partition("?")[0]
        if "/resolve/" in path and path.startswith("/owner/tiny/"):
            name = path.rpartition("/")[2]
            Hub.asked.append(name)
            self.reply(200, FILES[name], send, {"ETag": f'"{name}"', "X-Repo-Commit": SHA})
        elif path.startswith("/api/models/owner/tiny") and "/tree/" not in path and path.rpartition("/")[2] in (
            "tiny", "main", "v1", SHA,
        ):  # fmt: skip
            siblings = [{"rfilename": name} for name in FILES]
            info = {"id": "owner/tiny", "sha": SHA, "siblings": siblings, "private": False, "tags": []}
            self.reply(200, json.dumps(info).encode(), send, {"Content-Type": "application/json"})
        elif path.startswith("/api/models/owner/tiny/tree"):
            tree = [{"type": "file", "path": name, "size": len(body), "oid": name} for name, body in FILES.items()]
            self.reply(200, json.dumps(tree).encode(), send, {"Content-Type": "application/json"})
        else:
            code = "RevisionNotFound" if "owner/tiny" in path else "RepoNotFound"
            self.reply(404, b"{}", send, {"X-Error-Code": code})

    def reply(self, status: int, body: bytes, send: bool, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        if send:
            self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        return


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ThreadingHTTPServer]:
    Hub.asked = []
    served = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    threading.Thread(target=served.serve_forever, daemon=True).start()
    monkeypatch.setattr(constants, "ENDPOINT", f"http://127.0.0.1:{served.server_port}")
    monkeypatch.setattr(
        constants, "HUGGINGFACE_CO_URL_TEMPLATE", constants.ENDPOINT + "/{repo_id}/resolve/{revision}/{filename}"
    )
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    monkeypatch.chdir(tmp_path)
    yield served
    served.shutdown()
    served.server_close()


def test_what_is_needed_is_fetched_once_and_found_again_without_a_connection(server: ThreadingHTTPServer) -> None:
    folder = local_place("owner/tiny@v1")
    assert {path.name for path in folder.iterdir()} == {"config.json", "model.safetensors", "tokenizer.json"}
    assert (folder / "model.safetensors").read_bytes() == b"safe"
    assert "pytorch_model.bin" not in Hub.asked and "README.md" not in Hub.asked
    local_place("owner/tiny")
    server.shutdown()
    server.server_close()
    assert local_place(f"owner/tiny@{SHA}") == folder


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("owner/other", "the hub has no model of this id"),
        ("owner/tiny@v2", "owner/tiny has no revision 'v2'"),
    ],
)
def test_what_the_hub_does_not_have(given: str, said: str, server: ThreadingHTTPServer) -> None:
    with pytest.raises(UserError, match=said) as error:
        local_place(given)
    assert "\n" not in str(error.value)


def test_offline_says_how_to_give_the_folder(server: ThreadingHTTPServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(UserError, match=r"HF_HUB_OFFLINE is set.*'hf download openai-community/gpt2-xl --local-dir"):
        local_place("gpt2-xl")
    monkeypatch.delenv("HF_HUB_OFFLINE")
    server.shutdown()
    server.server_close()
    with pytest.raises(UserError, match=r"could not be fetched \(.*'hf download owner/tiny --local-dir FOLDER'"):
        local_place("owner/tiny")


def test_a_path_comes_before_an_id(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "gpt2").mkdir()
    assert local_place("gpt2") == Path("gpt2")
    assert is_hub_id("gpt2-xl") and is_hub_id("owner/name@main") and not is_hub_id("name") and not is_hub_id("/tmp/x")
    assert not is_hub_id("runs/first")  # a run directory that is not there


def test_pickles_only_where_there_is_nothing_else() -> None:
    assert needed(["pytorch_model.bin", "config.json", "onnx/config.json"]) == ["config.json", "pytorch_model.bin"]
    shards = ["model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors", "model.safetensors.index.json"]
    assert needed([*shards, "pytorch_model.bin"]) == shards
    assert needed([*shards, "model.safetensors"]) == ["model.safetensors"]
