"""SentencePiece's byte-pair encoding: against llama2.c's algorithm, the library, and files that are damaged."""

from __future__ import annotations

import io
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jaxdec.data.tokenizers.sentencepiece import SentencePieceTokenizer
from jaxdec.errors import UserError
from tests.data.tokenizers.vocabularies import scored_file, scored_pieces

TEXT = "once upon a time there was a little girl, and the girl had a cat.\n  two  spaces, aaaa aaa aaaaaaa\n" * 2
TEXTS = st.text(st.sampled_from("aaaonce pthgirl  .,\n<>s/é漢🙂0x"), max_size=40)
PIECES = scored_pieces(TEXT, 60)
OURS = SentencePieceTokenizer(PIECES)
ACROSS = SentencePieceTokenizer([*PIECES, ("a c", 1.0), ("a ", 0.5), (" c", 0.25)])  # pieces that reach over words


def llama2c(pieces: list[tuple[str, float]], text: str) -> list[int]:
    """The algorithm of llama2.c's `encode`, step by step, on pieces that are neither special nor bytes."""
    ids = {piece: number for number, (piece, _) in reversed(list(enumerate(pieces))) if number >= 259}
    tokens = [ids[" "]] if text else []
    for letter in text:
        tokens += [ids[letter]] if letter in ids else [byte + 3 for byte in letter.encode()]
    while True:
        best, at, made = -1e10, -1, -1
        for place in range(len(tokens) - 1):
            number = ids.get(pieces[tokens[place]][0] + pieces[tokens[place + 1]][0], -1)
            if number >= 0 and pieces[number][1] > best:
                best, at, made = pieces[number][1], place, number
        if at < 0:
            return tokens
        tokens[at : at + 2] = [made]


@given(text=TEXTS)
def test_ids_are_those_of_llama2c_and_the_text_comes_back(text: str) -> None:
    for tokenizer in (OURS, ACROSS):
        ids = tokenizer.encode(text)
        assert ids.tolist() == llama2c(tokenizer.pieces, text) and ids.dtype == np.int32
        assert tokenizer.decode(ids) == text


def test_bytes_of_the_file_come_back(tmp_path: Path) -> None:
    content = scored_file(TEXT, 60)
    path = tmp_path / "tokenizer.bin"
    path.write_bytes(content)
    tokenizer = SentencePieceTokenizer.from_file(str(path))
    assert tokenizer.to_bin() == content and tokenizer.hash == OURS.hash
    assert tokenizer.end_of_text == 1 and tokenizer.decode([1, *OURS.encode("a cat"), 1]) == (
        "<|endoftext|>a cat<|endoftext|>"
    )


@given(start=TEXTS, rest=TEXTS)
def test_a_cut_changes_no_ids(start: str, rest: str) -> None:
    assert ACROSS.last_cut(start) is None
    cut = OURS.last_cut(start)
    if cut is None:
        return
    end, begin = cut
    ids = [*OURS.encode(start[:end]).tolist(), *OURS.encode(start[begin:] + rest).tolist()]
    assert ids == OURS.encode(start + rest).tolist() and 0 < end < begin < len(start)


def test_long_texts_have_cuts() -> None:
    assert OURS.last_cut(TEXT) == (len(TEXT) - 9, len(TEXT) - 8)


def test_ids_are_those_of_the_library() -> None:
    library = pytest.importorskip("sentencepiece")
    model = io.BytesIO()
    library.SentencePieceTrainer.train(
        sentence_iterator=iter(TEXT.splitlines()), model_writer=model, model_type="bpe", vocab_size=310,
        byte_fallback=True, normalization_rule_name="identity", remove_extra_whitespaces=False,
        split_digits=True, allow_whitespace_only_pieces=True, minloglevel=2, hard_vocab_limit=False,
    )  # fmt: skip
    theirs: Any = library.SentencePieceProcessor(model_proto=model.getvalue())
    pieces = [(theirs.id_to_piece(n).replace("\u2581", " "), theirs.get_score(n)) for n in range(theirs.vocab_size())]
    ours = SentencePieceTokenizer(pieces)
    rng = np.random.default_rng(0)
    letters = list("aaaonce pthgirl   .,\n<>é漢🙂0x")
    texts = [TEXT, " a", "a ", "", "  ", *("".join(rng.choice(letters, rng.integers(1, 60))) for _ in range(300))]
    for text in texts:
        assert ours.encode(text).tolist() == theirs.encode(text), repr(text)
        assert ours.decode(theirs.encode(text)) == theirs.decode(theirs.encode(text)) == text


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"\x01", "ends in the middle"),
        (struct.pack("<IfI", 9, 0.0, 5) + b"ab", "ends in the middle"),
        (struct.pack("<IfI", 1, 0.0, 2**31), "piece 0 has 2147483648 bytes, and 1 are the most"),
        (struct.pack("<IfI", 9, 0.0, 1) + b"\xff", "codec can't decode"),
        (struct.pack("<IfI", 9, 0.0, 1) + b"a", "are not the 256 bytes"),
        (scored_file(TEXT, 3).replace(b"<0x07>", b"<0x7A>"), "are not the 256 bytes"),
        (scored_file(TEXT, 3).replace(struct.pack("<f", -2.0), struct.pack("<f", float("nan"))), "a score is no"),
    ],
)
def test_files_that_are_no_tokenizer(tmp_path: Path, content: bytes, expected: str) -> None:
    path = tmp_path / "tokenizer.bin"
    path.write_bytes(content)
    with pytest.raises(UserError, match=expected) as caught:
        SentencePieceTokenizer.from_file(str(path))
    assert str(path) in str(caught.value) and "\n" not in str(caught.value)
