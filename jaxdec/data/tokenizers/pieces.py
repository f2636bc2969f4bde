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

# Unicode's White_Space, which is the \s of the pattern. Python's own \s holds U+001C to U+001F too.
_SPACE = "\t\n\x0b\x0c\r \x85\xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000"
_LONG_RUN = re.compile(f"(?<![{_SPACE}])[{_SPACE}]{{{LONG_RUN},}}")
_SEAM = re.compile(f"(?<=[^{_SPACE}])[{_SPACE}]")
_LONG_WORD = re.compile(f"[^{_SPACE}]{{{LONG_WORD}}}|[{_SPACE}]{{{LONG_WORD}}}")


def pieces(text: str, size: int = PIECE) -> Iterator[str]:
    """The text cut at seams, into pieces of about `size` characters where it has seams there."""
    start = 0
    for run in _LONG_RUN.finditer(text):
        if run.end() < len(text):
            yield from _blocks(text, start, run.end() - 1, size)
            start = run.end() - 1
    yield from _blocks(text, start, len(text), size)


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


def _blocks(text: str, start: int, end: int, size: int) -> Iterator[str]:
    while end - start > size and (seam := _SEAM.search(text, start + size, end)):
        yield text[start : seam.start()]
        start = seam.start()
    yield text[start:end]
