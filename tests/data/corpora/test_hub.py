"""Large corpora: files of a hub on this machine, or of a folder, with the columns that the real ones have."""

from __future__ import annotations

import hashlib
import http.server
import json
import random
import threading
import time
from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, ClassVar

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jaxdec.cli.main import main
from jaxdec.data import download, hub
from jaxdec.data.corpora import hub as corpora
from jaxdec.data.corpora import registry, wikitext
from jaxdec.data.corpora.base import Corpus, Place
from jaxdec.data.corpora.registry import HUB, load_corpus
from jaxdec.data.sources.documents import Document, in_stretches
from jaxdec.errors import UserError

arrow = pytest.importorskip("pyarrow")
parquet = pytest.importorskip("pyarrow.parquet")
pytest.importorskip("huggingface_hub")

STORIES = [f"Once upon a time there were {number} ducks. " * (number % 5 + 1) for number in range(60)]


def write(path: Path, columns: dict[str, Sequence[Any]]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    parquet.write_table(arrow.table(columns), path, row_group_size=7)
    return path


class Hub(http.server.BaseHTTPRequestHandler):
    """The two addresses of the hub that are asked. `files`: path -> content; `asked`: the paths of files, in turn."""

    files: ClassVar[dict[str, bytes]] = {}
    asked: ClassVar[list[str]] = []

    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        prefix = "/datasets/roneneldan/TinyStories/resolve/c0ffee/"
        if path.startswith("/api/datasets/roneneldan/TinyStories/revision/"):
            siblings = [
                {"rfilename": name, "size": len(content), "blobId": "b", "lfs": self.lfs(content)}
                for name, content in self.files.items()
            ]
            self.answer(json.dumps({"id": "roneneldan/TinyStories", "sha": "c0ffee", "siblings": siblings}).encode())
        elif path.startswith(prefix) and (name := path.removeprefix(prefix)) in self.files:
            self.asked.append(name)
            self.answer(self.files[name])
        else:
            self.send_error(404)

    def lfs(self, content: bytes) -> dict[str, Any]:
        return {"size": len(content), "sha256": hashlib.sha256(content).hexdigest(), "pointerSize": 1}

    def answer(self, body: bytes) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Quiet."""


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[type[Hub]]:
    """A hub with four files of tinystories, and empty folders of data and of the cache."""
    Hub.files, Hub.asked = {"README.md": b"about", "data/validation-00000-of-00001.parquet": b"not read"}, []
    for number in range(4):
        path = write(tmp_path / "made", {"text": STORIES[15 * number : 15 * number + 15]})
        Hub.files[f"data/train-0000{number}-of-00004.parquet"] = path.read_bytes()
    monkeypatch.setenv("JAXDEC_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setenv("JAXDEC_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setenv("no_proxy", "*")
    monkeypatch.setattr(download.time, "sleep", lambda _: None)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Hub) as running:
        thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{running.server_port}")
        yield Hub
        running.shutdown()
        thread.join()


def documents(corpus: Corpus, after: Place | None = None) -> list[str]:
    return [piece.text for piece in corpus.pieces(after)]


def parquets(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.rglob("*.parquet*"))


def test_files_are_read_in_turn_and_dropped(server: type[Hub], tmp_path: Path) -> None:
    corpus = load_corpus("tinystories")
    assert server.asked == [], "nothing is downloaded before it is needed"
    assert documents(corpus) == STORIES
    assert server.asked == [name for name in server.files if "train" in name]
    assert parquets(tmp_path) == []
    listing = json.loads((tmp_path / "data" / "tinystories" / "files.json").read_text())
    assert listing["commit"] == "c0ffee"


def test_the_next_file_comes_meanwhile_and_few_are_here_at_once(
    server: type[Hub], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(corpora, "DROPPED_AFTER", 100)
    most = 0
    for number, piece in enumerate(load_corpus("tinystories").pieces(None)):
        if piece.place[0] == 1:
            before = "train-00000-of-00004.parquet" in parquets(tmp_path / "cache")
            assert before == (number < 17), "a file stays until 100 characters of the next are read"
        if number == 0:
            deadline = time.monotonic() + 10
            while len(server.asked) < 2 and time.monotonic() < deadline:
                time.sleep(0)
            assert len(server.asked) == 2, "the second file is asked for while the first is read"
        most = max(most, len(parquets(tmp_path / "cache")))
    assert most <= 3


def test_files_are_kept_where_that_is_asked_for(server: type[Hub], tmp_path: Path) -> None:
    assert documents(load_corpus("tinystories", keep_files=True)) == STORIES
    assert len(parquets(tmp_path / "data" / "tinystories" / "data")) == 4
    assert documents(load_corpus("tinystories")) == STORIES
    assert len(server.asked) == 4, "each is downloaded once"
    assert len(parquets(tmp_path / "data")) == 4, "what was kept stays"


def test_from_any_place_on_only_what_is_needed_is_downloaded(server: type[Hub]) -> None:
    corpus = load_corpus("tinystories")
    pieces = list(corpus.pieces(None))
    assert all(first.place < second.place for first, second in pairwise(pieces))
    for index in (0, 14, 15, 37, 59):
        server.asked.clear()
        assert list(corpus.pieces(pieces[index].place)) == pieces[index + 1 :]
        assert all(name >= f"data/train-0000{pieces[index].place[0]}" for name in server.asked)
    assert corpus.share is not None
    shares = [corpus.share(piece.place) for piece in pieces]
    assert shares == sorted(shares)
    assert shares[-1] == pytest.approx(1.0)
    assert shares[29] == pytest.approx(0.5, abs=0.05)


def test_a_part_of_it(server: type[Hub]) -> None:
    assert documents(load_corpus("tinystories", limit_files=2)) == STORIES[:30]
    assert set(server.asked) == {"data/train-00000-of-00004.parquet", "data/train-00001-of-00004.parquet"}
    assert documents(load_corpus("tinystories", limit_documents=20)) == STORIES[:20]
    hashes = {load_corpus("tinystories", **limit).hash for limit in ({}, {"limit_files": 2}, {"limit_documents": 2})}
    assert len(hashes) == 3


def test_the_listing_stays_what_it_was(server: type[Hub], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The hub may change, or be away: the corpus is the files that were looked up at first."""
    before = load_corpus("tinystories").hash
    server.files["data/train-00004-of-00004.parquet"] = b"new"
    assert load_corpus("tinystories").hash == before
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    assert load_corpus("tinystories").hash == before
    with pytest.raises(UserError, match=r"could not be downloaded \(http://127\.0\.0\.1:9/datasets/.*refused"):
        documents(load_corpus("tinystories"))
    (tmp_path / "data" / "tinystories" / "files.json").write_text("{")
    with pytest.raises(UserError, match=r"files\.json cannot be read: delete it"):
        load_corpus("tinystories")


def test_a_file_with_another_checksum_is_refused(server: type[Hub], tmp_path: Path) -> None:
    corpus = load_corpus("tinystories")
    name = "data/train-00001-of-00004.parquet"
    server.files[name] = server.files[name][::-1]
    with pytest.raises(UserError, match="another file"):
        documents(corpus)
    assert not list(tmp_path.rglob("*.part"))


def test_a_hub_that_is_away(server: type[Hub], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(UserError) as caught:
        load_corpus("tinystories")
    line = str(caught.value)
    assert (
        "cannot be looked up on the hub (f54c09fd23315a6f9c86f9dc80f725de7d8f9c64: [Errno 111] Connection refused)"
        in line
    )
    assert (
        f"put the files data/train-*.parquet of the data set roneneldan/TinyStories into {tmp_path}/data/tinystories"
        in line
    )
    assert "--from-file FOLDER" in line
    assert "\n" not in line


def test_a_data_set_without_such_files(server: type[Hub]) -> None:
    del server.files["data/train-00000-of-00004.parquet"]
    assert len(documents(load_corpus("tinystories"))) == 45
    server.files.clear()
    with pytest.raises(UserError, match=r"main: .*404.*; refs/convert/parquet: .*404"):
        load_corpus("openwebtext")


def test_a_data_set_whose_files_have_other_names(server: type[Hub]) -> None:
    server.files.clear()
    with pytest.raises(
        UserError, match=r"f54c09fd23315a6f9c86f9dc80f725de7d8f9c64: no file fits data/train-\*\.parquet"
    ):
        load_corpus("tinystories")


def test_without_huggingface_hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("JAXDEC_DATA_DIR", str(tmp_path))

    def missing() -> Any:
        raise hub.Unreachable("huggingface_hub is not installed: pip install 'jaxdec[data]'")

    monkeypatch.setattr(hub, "_huggingface_hub", missing)
    with pytest.raises(UserError, match=r"pip install 'jaxdec\[data\]'.*--from-file FOLDER"):
        load_corpus("fineweb-edu")


# With a folder of the user's, no hub is asked.


@pytest.fixture
def offline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder for files; each look at the hub is an error."""
    monkeypatch.setenv("JAXDEC_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setenv("JAXDEC_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setattr(hub, "_huggingface_hub", lambda: pytest.fail("the hub is asked"))
    return tmp_path / "mine"


COLUMNS: dict[str, dict[str, Sequence[Any]]] = {  # what the files have beside `text`
    "tinystories": {},
    "openwebtext": {},
    "fineweb-edu": {"id": ["a", "b"], "dump": ["c", "c"], "url": ["d", "e"], "score": [3.0, 2.7], "int_score": [3, 3]},
    "fineweb-edu:100BT": {"id": ["a", "b"], "token_count": [10, 12]},
}


@pytest.mark.parametrize("name", COLUMNS)
def test_a_folder_of_its_files(offline: Path, name: str) -> None:
    write(offline / "b.parquet", {**COLUMNS[name], "text": ["third", "fourth"]})
    write(offline / "a.parquet", {"text": ["first", "second"], **COLUMNS[name]})
    (offline / "README.md").write_text("not read")
    given = load_corpus(name, offline)
    assert documents(given) == ["first", "second", "third", "fourth"]
    assert parquets(offline) == ["a.parquet", "b.parquet"], "the user's files stay"
    again = load_corpus(name)
    assert (again.hash, documents(again)) == (given.hash, documents(given)), "remembered from then on"
    assert documents(load_corpus(name, offline / "b.parquet")) == ["third", "fourth"]
    write(offline / "b.parquet", {**COLUMNS[name], "text": ["third", "something else, and longer"]})
    assert load_corpus(name, offline).hash != given.hash


def test_files_in_the_data_folder(offline: Path) -> None:
    write(offline.parent / "data" / "tinystories" / "a.parquet", {"text": ["first"]})
    write(offline.parent / "data" / "fineweb-edu" / "sample" / "100BT" / "a.parquet", {"text": ["second"]})
    assert documents(load_corpus("tinystories")) == ["first"]
    assert documents(load_corpus("fineweb-edu:100BT")) == ["second"]
    with pytest.raises(pytest.fail.Exception):
        load_corpus("fineweb-edu:10BT")


@pytest.mark.parametrize(
    ("columns", "said"),
    [
        ({"story": ["a"]}, "is no file of tinystories: it has no column 'text' with text, but story"),
        ({"text": [1]}, "it has no column 'text' with text"),
        ({"text": ["a", None]}, "row 2 of "),
    ],
)
def test_files_of_something_else(offline: Path, columns: dict[str, Any], said: str) -> None:
    write(offline / "a.parquet", columns)
    with pytest.raises(UserError) as caught:
        documents(load_corpus("tinystories", offline))
    assert said in str(caught.value)


def test_what_else_is_refused(offline: Path) -> None:
    write(offline / "inner" / "a.parquet", {"text": ["a"]})
    for name, path, said in (
        ("tinystories", offline.parent / "none", "does not exist"),
        ("tinystories:5", offline, "has no such part: write tinystories"),
        ("fineweb-edu:5BT", offline, "write fineweb-edu:10BT or fineweb-edu:100BT or fineweb-edu:350BT"),
    ):
        with pytest.raises(UserError, match=said):
            load_corpus(name, path)
    (offline / "text.txt").write_text("text")
    with pytest.raises(UserError, match=r"has no \.parquet file"):
        load_corpus("tinystories", offline / "text.txt")
    with pytest.raises(UserError, match="text_field means nothing to the corpus 'tinystories'"):
        load_corpus("tinystories", offline, text_field="text")
    load_corpus("tinystories", offline)
    (offline / "inner" / "a.parquet").unlink()
    with pytest.raises(UserError, match=r"a\.parquet, a file of the corpus tinystories, is gone"):
        documents(load_corpus("tinystories"))


def test_prepare_from_the_command_line(server: type[Hub], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["prepare", "--data.corpus", "tinystories", "--data.limit-files", "3", "--json"]) == 0
    captured = capsys.readouterr()
    result = json.loads(captured.out)
    assert result["train_documents"] + result["validation_documents"] == 45
    assert "\r" not in captured.err, "no bar where stderr is no terminal"
    asked = len(server.asked)
    assert main(["prepare", "--data.corpus", "tinystories", "--data.limit-files", "3", "--json"]) == 0
    assert len(server.asked) == asked, "the shards are there"


# WikiText: articles out of lines.


def lines(articles: Sequence[Sequence[str]]) -> list[str]:
    """The rows of articles, each a heading and the lines below it, as the files have them."""
    rows: list[str] = []
    for number, body in enumerate(articles):
        rows += ["", f" = Article {number} of = this = \n", "", *body]
    return rows


BODIES = st.lists(
    st.lists(
        st.sampled_from(["", " Text of a line . \n", " = = Section = = \n", " = = = Inner = = = \n", " x = y = \n"])
    ),
    max_size=6,
)


@given(BODIES)
@settings(max_examples=100)
def test_articles_are_put_together(bodies: list[list[str]]) -> None:
    rows = [Document(text, index, index + 1) for index, text in enumerate(lines(bodies))]
    found = list(wikitext.articles(iter(rows)))
    assert len(found) == len(bodies)
    assert "".join(document.text for document in found).strip("\n") == "".join(row.text or "\n" for row in rows).strip(
        "\n"
    )
    for number, document in enumerate(found):
        assert f"{document.text}\n".lstrip("\n").startswith(f" = Article {number} of = this = \n")
    stretches = list(in_stretches(iter(found), 0, 20))
    for index in random.Random(0).sample(range(len(stretches)), min(5, len(stretches))):
        place = stretches[index].after
        rest = wikitext.articles(iter(rows[place // corpora.STRETCHES :]))
        assert list(in_stretches(rest, place, 20)) == stretches[index + 1 :]


def test_a_line_between_others_is_no_heading() -> None:
    texts = ["", " = One = \n", "", " Text . \n", " = Two = \n", "", " = Three = \n", " Text . \n", ""]
    rows = [Document(text, index, index + 1) for index, text in enumerate(texts)]
    assert [document.text for document in wikitext.articles(iter(rows))] == [
        "".join(text or "\n" for text in texts)[1:]
    ]


def test_wikitext_from_a_folder(offline: Path) -> None:
    rows = lines([[" One . \n", "", " = = Part = = \n", "", " Two . \n"], [" Three . \n"]])
    write(offline / "train-00000-of-00001.parquet", {"text": rows})
    first, second = documents(load_corpus("wikitext-2", offline))
    assert first.endswith(" = Article 0 of = this = \n\n One . \n\n = = Part = = \n\n Two . \n\n")
    assert second == " = Article 1 of = this = \n\n Three . \n"


def test_each_has_its_line_in_the_list() -> None:
    for name, corpus in HUB.items():
        assert corpus.licence in registry.CORPORA[name]
        assert corpus.repo in registry.CORPORA[name]
