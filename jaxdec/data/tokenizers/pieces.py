"""Where a text may be cut so that its pieces, encoded one by one, give the tokens of the whole.

Byte-level BPE first splits a text with GPT-2's pattern. No match of it goes on from something to white space, and of a
run of white space before something the last character never belongs to what comes before it. So a text may be
cut at both places. Cutting there keeps tiktoken's regex engine from overflowing its stack (it steps back through a long
run of white space one frame a character) and bounds the memory that a large text takes.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

PATTERN = r"""'(?:[sdmt]|ll|ve|re)| ?\p{L}++| ?\p{N}++| ?[^\s\p{L}\p{N}]++|\s++$|\s+(?!\S)|\s"""
"""GPT-2's pattern (Radford et al. 2019) in tiktoken's form, which takes the same matches without stepping back."""

PIECE = 2**20  # characters, about
LONG_RUN = 256  # characters of white space; tiktoken fails from some hundred thousand on
LONG_WORD = 1024  # characters between seams, in training
SAMPLE = 16  # every such character is looked at to see whether there may be a long run

# Unicode's White_Space, which is the \s of the pattern. Python's own \s holds U+001C to U+001F too.
_SPACE = "\t\n\x0b\x0c\r \x85\xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000"
_LONG_RUN = re.compile(f"(?<![{_SPACE}])[{_SPACE}]{{{LONG_RUN},}}")
_SEAM = re.compile(f"(?<=[^{_SPACE}])[{_SPACE}]")
_SAMPLED_RUN = re.compile(f"[{_SPACE}]{{{LONG_RUN // SAMPLE}}}")
_PUNCTUATION = r',.:;?!"()'  # between words for the tokenizer of words, too
_WORD_END = re.compile(f"(?<=[A-Za-z0-9])[{_PUNCTUATION}]")
_SENTENCE_END = re.compile("(?<=[\u3041-\u3096\u30a1-\u30fa\u4e00-\u9fa5\uac00-\ud7a3])[、。，！？：；「」『』（）]")
_LONG_WORD = re.compile(f"[^{_SPACE}]{{{LONG_WORD}}}|[{_SPACE}]{{{LONG_WORD}}}")

WORD_SEAMS = (_SEAM, _WORD_END)
"""Places between two tokens of characters, of words and of GPT-2's pattern alike."""

BYTE_SEAMS = (_SEAM, _WORD_END, _SENTENCE_END)
"""Places between two matches of GPT-2's pattern: no match goes on from a letter to white space or punctuation."""


def pieces(text: str, size: int = PIECE) -> Iterator[str]:
    """The text cut at seams, into pieces of about `size` characters where it has seams there."""
    start = 0
    for run in _LONG_RUN.finditer(text) if may_have_long_run(text) else ():
        if run.end() < len(text):
            yield from _blocks(text, start, run.end() - 1, size)
            start = run.end() - 1
    yield from _blocks(text, start, len(text), size)


def may_have_long_run(text: str) -> bool:
    """Whether it is worth looking: a long run covers as many neighbours of a sample as the pattern asks for."""
    return len(text) >= LONG_RUN and _SAMPLED_RUN.search(text[::SAMPLE]) is not None


def training_pieces(text: str) -> Iterator[str]:
    """`pieces`, with what is longer than LONG_WORD and has no seam cut all the same.

    Training takes the square of a word's length; no text in a language has words that long.
    """
    for piece in pieces(text):
        start = 0
        for word in _LONG_WORD.finditer(piece):
            yield piece[start : word.end()]
            start = word.end()
        yield piece[start:]


def last_seam(text: str, seams: tuple[re.Pattern[str], ...]) -> int | None:
    """Where the last match of the first pattern that has one begins: there the text may be cut, whatever follows it."""
    for seam in seams:
        for reach in (2**10, 2**16, len(text)):
            place = None
            for match in seam.finditer(text, max(0, len(text) - reach)):
                place = match.start()
            if place:
                return place
            if reach >= len(text):
                break
    return None


def _blocks(text: str, start: int, end: int, size: int) -> Iterator[str]:
    while end - start > size and (seam := _SEAM.search(text, start + size, end)):
        yield text[start : seam.start()]
        start = seam.start()
    yield text[start:end]
