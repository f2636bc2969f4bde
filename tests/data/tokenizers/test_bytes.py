"""Byte-level BPE: ids equal to tiktoken's and to `tokenizers`' own, long runs, training, and GPT-2's files."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import tiktoken
from hypothesis import example, given, settings
from hypothesis import strategies as st
from tiktoken.load import load_tiktoken_bpe

from jaxdec.data.corpora.registry import load_corpus
from jaxdec.data.tokenizers import gpt2 as tokenizer_gpt2
from jaxdec.data.tokenizers.pieces import LONG_RUN, LONG_WORD, PATTERN, pieces, training_pieces
from jaxdec.data.tokenizers.registry import END_OF_TEXT, BPETokenizer, GPT2Tokenizer
from jaxdec.errors import UserError
from tests.data.tokenizers.vocabularies import byte_level, eager, has_gpt2

STORY = "It was the best of times, it was the worst of times; we'll see 1859 -- naïve café, 漢字 🧿!\n\n  So.\t" * 5
# Unassigned code points are left out: the libraries' Unicode versions differ in which of them are letters.
TEXT = st.text(st.characters(exclude_categories=["Cs", "Cn"]), max_size=80)
LETTERS = " \n\t\x0b\x1c\x85\xa0\u3000a1'.é"
SPACED = st.text(LETTERS, max_size=40)

BPE = BPETokenizer.train(STORY + " " * 50 + "\n" * 20, 400)
EAGER = eager(LETTERS)

needs_gpt2 = pytest.mark.skipif(not has_gpt2(), reason="GPT-2's vocabulary is not in $TIKTOKEN_CACHE_DIR")


@settings(max_examples=300)
@given(TEXT | SPACED, st.integers(1, 8))
@example("a.\x1c.", 1)
@example("a   a", 1)
def test_pieces_are_the_text_and_give_the_tokens_of_the_whole(text: str, size: int):
    assert "".join(pieces(text, size)) == text
    whole = EAGER.encode_ordinary(text)
    assert [token for piece in pieces(text, size) for token in EAGER.encode_ordinary(piece)] == whole


@pytest.mark.parametrize("space", [" ", "\n", "\u3000", "\r\n ", "\x1c"])
@pytest.mark.parametrize("after", ["", "x", "'s", "\x1c", "🧿"])
@pytest.mark.parametrize("length", [LONG_RUN - 1, LONG_RUN, 5000])
def test_long_white_space_has_tiktoken_s_tokens(space: str, after: str, length: int):
    text = "x" + space * length + after + " y"
    whole = EAGER.encode_ordinary(text)
    assert [token for piece in pieces(text) for token in EAGER.encode_ordinary(piece)] == whole
    assert BPE.encode(text).tolist() == BPE.encoding.encode_ordinary(text)


@pytest.mark.parametrize("kind", ["bpe", "gpt2"])
@pytest.mark.parametrize("unit", ["a", " ", "\n", "\u3000", "'s", "a1", "é", "ab"])
def test_a_megabyte_of_one_thing(kind: str, unit: str):
    if kind == "gpt2" and not has_gpt2():
        pytest.skip("GPT-2's vocabulary is not in $TIKTOKEN_CACHE_DIR")
    tokenizer = BPE if kind == "bpe" else GPT2Tokenizer()
    text = unit * (2**20 // len(unit)) + "x"
    start = time.process_time()
    ids = tokenizer.encode(text)
    assert time.process_time() - start < 5
    assert tokenizer.decode(ids) == text


def test_a_large_text_is_cut_at_seams():
    text = "".join(f"word{number} " for number in range(20_000))
    parts = list(pieces(text, 1000))
    assert len(parts) > 100
    assert max(map(len, parts)) < 1020
    assert all(part.startswith(" ") for part in parts[1:])


# What training finds


@settings(max_examples=40)
@given(
    training=st.text("ab c\n'1é", min_size=1, max_size=300) | TEXT,
    text=st.text("ab c\n'1é", max_size=100) | TEXT,
    vocab_size=st.integers(257, 400),
)
@example("aaaaaaaaaaaaa aaaaaaa aaa", "a" * 50 + " " + "a" * 31, 300)
def test_tokens_are_those_of_tokenizers(training: str, text: str, vocab_size: int):
    ours, theirs = BPETokenizer.train(training, vocab_size), byte_level(training, vocab_size - 1, (END_OF_TEXT,))
    assert ours.vocab_size == theirs.get_vocab_size() <= vocab_size
    assert ours.end_of_text == theirs.token_to_id(END_OF_TEXT)
    for part in (training, text):
        assert ours.encode(part).tolist() == theirs.encode(part.replace(END_OF_TEXT, "")).ids


def test_the_first_tokens_are_the_bytes_in_gpt_2_s_order():
    assert sorted(BPE.ranks[:256]) == [bytes([byte]) for byte in range(256)]
    if has_gpt2():
        assert BPE.ranks[:256] == [tiktoken.get_encoding("gpt2").decode_single_token_bytes(i) for i in range(256)]


def test_its_file_is_tiktoken_s(tmp_path: Path):
    BPE.save(tmp_path / "tokenizer")
    ranks = load_tiktoken_bpe(str(tmp_path / "tokenizer" / "bpe.tiktoken"))
    assert ranks == {token: rank for rank, token in enumerate(BPE.ranks)}
    other = tiktoken.Encoding("x", pat_str=PATTERN, mergeable_ranks=ranks, special_tokens={END_OF_TEXT: len(ranks)})
    assert other.encode_ordinary(STORY) == BPE.encode(STORY).tolist()


def test_training_is_the_same_in_every_process():
    code = "import sys; from jaxdec.data.tokenizers.bpe import BPETokenizer as B; print(B.train(sys.argv[1], 350).hash)"
    command = [sys.executable, "-c", code, STORY]
    hashes = {
        subprocess.run(
            command, env=os.environ | {"PYTHONHASHSEED": seed}, check=True, capture_output=True, text=True
        ).stdout.strip()
        for seed in ("1", "2")
    }
    assert hashes == {BPETokenizer.train(STORY, 350).hash}


def test_a_short_text_gives_fewer_tokens():
    tokenizer = BPETokenizer.train("abab", 10_000)
    assert tokenizer.ranks[256:] == [b"ab", b"abab"]
    assert (tokenizer.vocab_size, tokenizer.end_of_text) == (259, 258)
    assert BPETokenizer.train("", 10_000).vocab_size == 257
    assert len({tokenizer.hash, BPETokenizer.train("abab", 258).hash, BPETokenizer.train("acac", 258).hash}) == 3


@pytest.mark.parametrize("text", ["a" * 10**6, " " * 10**6 + "x", "ab" * 500_000 + "c"])
def test_training_on_a_megabyte_of_one_thing(text: str):
    start = time.process_time()
    tokenizer = BPETokenizer.train(text, 300)
    assert time.process_time() - start < 5
    assert tokenizer.decode(tokenizer.encode(text)) == text


def test_only_words_that_no_language_has_are_cut_for_training():
    text = STORY + "x" * (LONG_WORD - 1) + " y" + "é" * (3 * LONG_WORD + 5) + "\n" * 5 * LONG_WORD + "z"
    parts = list(training_pieces(text))
    assert "".join(parts) == text
    assert parts[0] == STORY + "x" * (LONG_WORD - 1) + " y" + "é" * (LONG_WORD - 1)
    assert all(len(part) <= 2 * LONG_WORD for part in parts[1:])


def test_tiny_shakespeare():
    folder = os.environ.get("JAXDEC_DATA_DIR")
    if folder is None or not (Path(folder) / "tinyshakespeare" / "input.txt").exists():
        pytest.skip("tinyshakespeare/input.txt is not in $JAXDEC_DATA_DIR")
    text = load_corpus("tinyshakespeare").text
    start = time.process_time()
    tokenizer = BPETokenizer.train(text, 10_000)
    assert time.process_time() - start < 10  # 0.4 s on an idle machine
    assert tokenizer.vocab_size == 10_000
    start = time.process_time()
    ids = tokenizer.encode(text)
    assert time.process_time() - start < 2
    assert ids.tolist() == byte_level(text, 9_999).encode(text).ids
    assert tokenizer.decode(ids) == text
    assert len(str(tokenizer.to_dict())) < 300_000  # it goes into each checkpoint
    if has_gpt2():
        start = time.process_time()
        ids = GPT2Tokenizer().encode(text)
        assert time.process_time() - start < 2
        assert ids.tolist() == tiktoken.get_encoding("gpt2").encode_ordinary(text)
        cut = int(len(text) * 0.9)  # nanoGPT's data/shakespeare reports these
        assert [len(GPT2Tokenizer().encode(part)) for part in (text[:cut], text[cut:])] == [301_966, 36_059]


# GPT-2's own


@needs_gpt2
@given(TEXT | SPACED)
@example("hello world")
@example(f"a{END_OF_TEXT} b")
def test_gpt2_is_tiktoken_s(text: str):
    tokenizer, theirs = GPT2Tokenizer(), tiktoken.get_encoding("gpt2")
    assert tokenizer.encode(text).tolist() == theirs.encode(text, disallowed_special=())
    assert tokenizer.encode(text, allow_special=True).tolist() == theirs.encode(text, allowed_special="all")


@needs_gpt2
def test_gpt2_is_what_it_says():
    tokenizer = GPT2Tokenizer()
    assert (tokenizer.vocab_size, tokenizer.end_of_text) == (50_257, 50_256)
    assert tokenizer.encode("hello world").tolist() == [31373, 995]  # as tiktoken's README has it
    assert tokenizer.hash == "4e75989971650e291a3208cf7eaaac19ae1ffabaffcc93baba818910399064a2"  # in saved runs


@pytest.fixture
def _no_network(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    def unreachable(*_: object, **__: object) -> None:
        raise OSError("no network in this test")

    monkeypatch.setattr(tokenizer_gpt2.urllib.request, "urlopen", unreachable)
    monkeypatch.setenv("TIKTOKEN_CACHE_DIR", str(tmp_path))
    tokenizer_gpt2._encoding.cache_clear()
    yield
    tokenizer_gpt2._encoding.cache_clear()


@pytest.mark.usefixtures("_no_network")
def test_without_cache_and_network_the_error_says_what_to_do(tmp_path: Path):
    with pytest.raises(UserError) as caught:
        GPT2Tokenizer()
    message = str(caught.value)
    for part in ("no network in this test", "run once with a connection", "set TIKTOKEN_CACHE_DIR", str(tmp_path)):
        assert part in message
    assert "\n" not in message
    assert list(tmp_path.iterdir()) == []


@pytest.mark.usefixtures("_no_network")
def test_a_wrong_file_of_the_cache_is_named_and_left_alone(tmp_path: Path):
    place = tmp_path / hashlib.sha1((tokenizer_gpt2.ADDRESS + "vocab.bpe").encode()).hexdigest()
    place.write_bytes(b"soup")
    with pytest.raises(UserError, match=f"{place} is not GPT-2's vocab.bpe"):
        GPT2Tokenizer()
    assert place.read_bytes() == b"soup"


@pytest.mark.usefixtures("_no_network")
def test_a_cache_that_is_turned_off_is_named(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("TIKTOKEN_CACHE_DIR", "")
    with pytest.raises(UserError, match="TIKTOKEN_CACHE_DIR is empty"):
        GPT2Tokenizer()


@needs_gpt2
def test_files_are_fetched_once_into_tiktoken_s_cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    real, asked = tokenizer_gpt2.cache_folder(), []

    def mirror(address: str, timeout: float) -> object:
        asked.append((address, timeout))
        return (real / hashlib.sha1(address.encode()).hexdigest()).open("rb")

    monkeypatch.setattr(tokenizer_gpt2.urllib.request, "urlopen", mirror)
    monkeypatch.setenv("TIKTOKEN_CACHE_DIR", str(tmp_path / "new"))
    for _ in range(2):
        tokenizer_gpt2._encoding.cache_clear()
        assert GPT2Tokenizer().encode("hello world").tolist() == [31373, 995]
    assert len(asked) == len(list((tmp_path / "new").iterdir())) == 2
    monkeypatch.setattr(tokenizer_gpt2.urllib.request, "urlopen", lambda *_, **__: open(__file__, "rb"))
    monkeypatch.setenv("TIKTOKEN_CACHE_DIR", str(tmp_path / "third"))
    tokenizer_gpt2._encoding.cache_clear()
    with pytest.raises(UserError, match="another file came"):
        GPT2Tokenizer()
    assert not (tmp_path / "third").exists()
    tokenizer_gpt2._encoding.cache_clear()
