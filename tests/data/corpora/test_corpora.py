"""Corpora by name and by path: what is found where, and the one line for everything that is not."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest

from jaxdec.data import download
from jaxdec.data.corpora import registry as corpora
from jaxdec.data.corpora.registry import GENERATED, REAL, load_corpus
from jaxdec.errors import UserError

CONTENT = "Café: à la carte\r\n".encode()


@pytest.fixture
def known(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> corpora.RealCorpus:
    """A small real corpus called `menu`, an empty data folder, and a network of which each call is an error."""
    checksum = hashlib.sha256(CONTENT).hexdigest()
    corpus = corpora.RealCorpus("menu", "a menu", "menu.txt", len(CONTENT), checksum, ("https://example.org/menu.txt",))
    monkeypatch.setitem(corpora.REAL, "menu", corpus)
    monkeypatch.setenv("JAXDEC_DATA_DIR", str(tmp_path / "data"))

    def unreachable(*_: object, **__: object) -> None:
        raise OSError("no network in this test")

    monkeypatch.setattr(download.urllib.request, "urlopen", unreachable)
    return corpus


def place(tmp_path: Path) -> Path:
    return tmp_path / "data" / "menu" / "menu.txt"


def test_generated_corpora_are_what_they_say():
    for name in GENERATED:
        corpus = load_corpus(name)
        assert corpus.name == name
        assert 300_000 <= len(corpus.text) <= 2_000_000
        assert corpus.text.isascii()
        assert corpus.conditional_entropy is not None
        assert corpus.conditional_entropy(64) > 0


def test_markov_orders():
    hashes = {load_corpus(f"markov:{order}").hash for order in range(6)}
    assert len(hashes) == 6
    assert load_corpus("markov").hash == load_corpus("markov:2").hash
    chain = load_corpus("markov:1")
    assert chain.conditional_entropy is not None
    assert chain.conditional_entropy(0) > chain.conditional_entropy(1) == chain.conditional_entropy(2)


@pytest.mark.parametrize("name", ["markov:", "markov:-1", "markov:6", "markov:two", "markov:²"])
def test_a_wrong_order_is_named(name):
    with pytest.raises(UserError, match=f"the corpus '{name}' has no order: write markov:K with a whole K from 0 to 5"):
        load_corpus(name)


def test_a_path_is_read_as_it_stands(tmp_path: Path):
    path = tmp_path / "some text.txt"
    path.write_bytes(CONTENT)
    corpus = load_corpus(str(path))
    assert corpus.text == "Café: à la carte\r\n"
    assert corpus.conditional_entropy is None
    path.write_bytes(CONTENT + b"!")
    assert load_corpus(str(path)).hash != corpus.hash


@pytest.mark.parametrize(
    ("content", "message"),
    [(b"", "is empty"), (b"abc\xe9", "is not UTF-8: byte 0xe9 at offset 3"), (None, "is a folder")],
)
def test_a_wrong_file_is_named(tmp_path: Path, content: bytes | None, message: str):
    path = tmp_path / "text"
    path.mkdir() if content is None else path.write_bytes(content)
    with pytest.raises(UserError) as caught:
        load_corpus(str(path))
    assert str(caught.value).startswith(f"the corpus {path} {message}")
    assert "\n" not in str(caught.value)


@pytest.mark.skipif(
    os.name == "nt" or not hasattr(os, "geteuid") or os.geteuid() == 0, reason="permissions do not bind"
)
def test_an_unreadable_file_is_named(tmp_path: Path):
    path = tmp_path / "text"
    path.write_bytes(CONTENT)
    path.chmod(0)
    with pytest.raises(UserError, match="cannot be read"):
        load_corpus(str(path))


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("playlet", "did you mean 'playlets'?"),
        ("tinyshakspere", "did you mean 'tinyshakespeare'?"),
        ("no/such.txt", "known:"),
    ],
)
def test_an_unknown_name_gets_the_nearest(name, hint):
    with pytest.raises(UserError) as caught:
        load_corpus(name)
    assert f"there is neither a corpus nor a file called '{name}'" in str(caught.value)
    assert hint in str(caught.value)


def test_a_real_corpus_is_found_in_the_data_folder(known: corpora.RealCorpus, tmp_path: Path):
    place(tmp_path).parent.mkdir(parents=True)
    place(tmp_path).write_bytes(CONTENT)
    corpus = load_corpus("menu")
    assert corpus.text.encode() == CONTENT
    assert corpus.hash == known.sha256


def test_a_changed_file_in_the_data_folder_is_named(known: corpora.RealCorpus, tmp_path: Path):
    place(tmp_path).parent.mkdir(parents=True)
    place(tmp_path).write_bytes(CONTENT + b"!")
    with pytest.raises(UserError, match=r"menu\.txt is not menu: its sha256 is .* Delete it"):
        _ = load_corpus("menu").text
    assert place(tmp_path).read_bytes() == CONTENT + b"!"  # the user's file is the user's to delete


@pytest.mark.usefixtures("known")
def test_a_given_file_is_put_into_the_data_folder(tmp_path: Path):
    mine = tmp_path / "mine.txt"
    mine.write_bytes(CONTENT)
    assert load_corpus("menu", mine).text.encode() == CONTENT
    mine.unlink()
    assert load_corpus("menu").text.encode() == CONTENT
    assert [path.name for path in place(tmp_path).parent.iterdir()] == ["menu.txt"]


@pytest.mark.usefixtures("known")
def test_another_given_file_is_refused(tmp_path: Path):
    mine = tmp_path / "mine.txt"
    mine.write_bytes(b"soup")
    with pytest.raises(UserError, match=r"mine\.txt is not menu: it has 4 bytes, sha256 "):
        load_corpus("menu", mine)
    with pytest.raises(UserError, match=r"the file given with --from-file .*none\.txt does not exist"):
        load_corpus("menu", tmp_path / "none.txt")
    assert not (tmp_path / "data").exists()


def test_a_given_file_beside_a_generated_corpus_or_a_path_is_refused(tmp_path: Path):
    mine = tmp_path / "mine.txt"
    mine.write_bytes(CONTENT)
    for name in ("playlets", "markov:3"):
        with pytest.raises(UserError, match=f"the corpus '{name}' is generated and needs no file"):
            load_corpus(name, mine)
    with pytest.raises(UserError, match="--from-file is for a corpus of the list"):
        load_corpus(str(mine), mine)


@pytest.mark.usefixtures("known")
def test_where_nothing_is_reached_all_three_ways_are_named(tmp_path: Path):
    with pytest.raises(UserError) as caught:
        _ = load_corpus("menu").text
    message = str(caught.value)
    assert "https://example.org/menu.txt: no network in this test" in message
    assert "run again with a connection" in message
    assert str(place(tmp_path)) in message
    assert "$JAXDEC_DATA_DIR/menu/menu.txt" in message
    assert "--from-file" in message
    assert "\n" not in message


@pytest.mark.parametrize(
    ("name", "start"),
    [("tinyshakespeare", "First Citizen:\nBefore we proceed"), ("the_verdict", "I HAD always thought Jack Gisburn")],
)
def test_real_texts(name: str, start: str):
    folder = os.environ.get("JAXDEC_DATA_DIR")
    if folder is None or not (Path(folder) / name / REAL[name].file).exists():
        pytest.skip(f"{name}/{REAL[name].file} is not in $JAXDEC_DATA_DIR")
    text = load_corpus(name).text
    assert len(text.encode()) == REAL[name].size
    assert text.startswith(start)
