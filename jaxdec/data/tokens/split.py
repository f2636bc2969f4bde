"""Which split a stretch of text belongs to, and where a stream of it may be cut for the tokenizer.

A corpus of one document is split by position: the first part is for training. Of many documents some are for
validation, whole: with a share of 0.1 one of the first ten, one of the next ten, and so on. Which one is drawn from the
number of the ten alone, so that what repeats every ten documents does not fall into one split.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from fractions import Fraction
from typing import Any, NamedTuple

from jaxdec.data.corpora.base import Corpus, Place
from jaxdec.data.tokenizers.base import Cut
from jaxdec.errors import UserError

SPLITS: tuple[str, str] = ("train", "validation")
LONGEST = 4 * 2**20  # characters that are held back for a place to cut; a longer stretch is cut where it ends


class Stretch(NamedTuple):
    """Text of one document in one split. `offset`: the characters of the document before it."""

    text: str
    split: str
    document: int
    offset: int
    begins: bool  # the document, or its part in this split


@dataclass(frozen=True)
class Reading:
    """How far a corpus is read: behind `place`, with `carry` read and not given out, which begins at `offset` of the
    document of that number. JSON-able through `to_dict`."""

    place: Place | None = None
    document: int = 0
    offset: int = 0
    carry: str = ""
    begun: bool = False  # something of the document was given out, in the split at hand

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Reading:
        """Raises TypeError or ValueError where they are no such values."""
        place = values["place"]
        if place is not None:
            part, offset = place
            place = (int(part), int(offset))
        return cls(**{**values, "place": place})


class Splitter:
    """The two splits of a corpus. UserError where one of them would have no text."""

    def __init__(self, corpus: Corpus, validation_fraction: float) -> None:
        self.corpus = corpus
        self.share = Fraction(str(validation_fraction))  # exact, as it is written
        self._group, self._drawn = (
            range(0),
            0,
        )  # the documents that the last one was drawn from, and the one for validation
        self.cut: int | None = None
        self.length: int | None = None
        if corpus.characters is not None:
            self.length = length = corpus.characters()
            self.cut = int(length * (1 - validation_fraction))
            if not 0 < self.cut < length:
                raise UserError(
                    f"the corpus {corpus.name} is too short: {length} characters cannot be split into training and "
                    f"validation (data.validation_fraction {validation_fraction}). Give a longer text"
                )

    @property
    def many(self) -> bool:
        """Whether the corpus has documents, rather than being one."""
        return self.cut is None

    def of_document(self, number: int) -> str:
        """The split of a document. The documents are cut into groups of 1 / share, and of each group one is drawn."""
        if not self._group.start <= number < self._group.stop:
            parts, whole = self.share.numerator, self.share.denominator
            index = ((number + 1) * parts - 1) // whole
            self._group = range(index * whole // parts, (index + 1) * whole // parts)
            draw = int.from_bytes(hashlib.sha256(str(index).encode()).digest()[:8], "little")
            self._drawn = self._group[draw % len(self._group)]
        return SPLITS[number == self._drawn]

    def stretches(
        self, last_cut: Callable[[str], Cut | None], reading: Reading
    ) -> Iterator[tuple[list[Stretch], Reading]]:
        """The stretches of each piece behind `reading`, and how far the corpus is read with them."""
        for text, ends, place in self.corpus.pieces(reading.place):
            if (
                ends and self.many and text and reading.offset == 0 and not reading.carry
            ):  # most are a piece as they are
                number = reading.document
                found, reading = [Stretch(text, self.of_document(number), number, 0, True)], Reading(place, number + 1)
            else:
                found, reading = self._of_piece(text, ends, last_cut, reading)
                reading = replace(reading, place=place)
            yield found, reading

    def _of_piece(
        self, text: str, ends: bool, last_cut: Callable[[str], Cut | None], reading: Reading
    ) -> tuple[list[Stretch], Reading]:
        document, offset, begun = reading.document, reading.offset, reading.begun
        text = reading.carry + text
        found: list[Stretch] = []
        if self.cut is not None and offset < self.cut <= offset + len(text):
            left = text[: self.cut - offset]
            found.append(Stretch(left, SPLITS[0], document, offset, not begun))
            text, offset, begun = text[len(left) :], self.cut, False
        split = SPLITS[offset >= self.cut] if self.cut is not None else self.of_document(document)
        if ends:
            if text:
                found.append(Stretch(text, split, document, offset, not begun))
            return found, Reading(document=document + 1)
        end, start = last_cut(text) or ((len(text), len(text)) if len(text) > LONGEST else (0, 0))
        if end:
            found.append(Stretch(text[:end], split, document, offset, not begun))
            begun = True
        return found, Reading(document=document, offset=offset + start, carry=text[start:], begun=begun)


def place_in(corpus: Corpus, document: int, offset: int) -> str:
    """Where a user finds a character: "offset 5, line 2, column 3", the line and column counted from 1, with the number
    of the document where there are many. Reads the corpus up to there."""
    number, before, line, column = 0, 0, 1, 1
    for text, ends, _ in corpus.pieces(None):
        if number == document:
            text = text[: offset - before]
            before += len(text)
            lines = text.count("\n")
            line += lines
            column = len(text) - text.rfind("\n") if lines else column + len(text)
            if before == offset:
                break
        number += ends
    which = f"document {document + 1}, " if corpus.characters is None else ""
    return f"{which}offset {offset}, line {line}, column {column}"
