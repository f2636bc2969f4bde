"""The measures of a text, by heading. Each is taken of a model's samples and of held-out text alike."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from jaxdec.data.tokenizers.registry import CharTokenizer, Tokenizer, WordTokenizer
from jaxdec.evaluation.quality import repetition, stability, structure
from jaxdec.evaluation.quality.estimate import Estimate, mean, ratio
from jaxdec.evaluation.quality.samples import Piece, Reference
from jaxdec.evaluation.quality.segments import symbols

NGRAM = 4  # of repetition, as in Welleck et al. 2020
HEADINGS = {
    "repetition": "Repetition and variety",
    "stability": "Words and tokens",
    "structure": "Structure",
}


@dataclass(frozen=True)
class Setting:
    """What pieces are measured with; `reference` is None where the corpus cannot be read."""

    tokenizer: Tokenizer
    reference: Reference | None

    @property
    def has_subwords(self) -> bool:
        """Whether a token may be a part of a word, but is more than a character."""
        return not isinstance(self.tokenizer, CharTokenizer | WordTokenizer)


Take = Callable[[Sequence[Piece], Setting], Estimate | None]


@dataclass(frozen=True)
class Measure:
    """`take` gives None where the pieces have nothing to measure (no brackets, no corpus). `share`: it lies in 0..1 and
    is shown in percent."""

    heading: str
    label: str
    about: str
    take: Take
    share: bool = True

    def shown(self, value: float, error: float | None) -> str:
        """ "12.30 ± 0.41 %" """
        scale, unit = (100, " %") if self.share else (1, "")
        spread = "" if error is None else f" ± {error * scale:.2f}"
        return f"{value * scale:.2f}{spread}{unit}"


def counted(count: Callable[[Piece, Setting], tuple[int, int] | None]) -> Take:
    """The measure of (hits, cases) of each piece: hits over cases of all of them."""

    def take(pieces: Sequence[Piece], setting: Setting) -> Estimate | None:
        found = [pair for each in pieces if (pair := count(each, setting)) is not None]
        return ratio([hits for hits, _ in found], [cases for _, cases in found])

    return take


def repeated(pieces: Sequence[Piece], setting: Setting) -> Estimate | None:
    shares = [repetition.repeated_share(symbols(each.text), NGRAM) for each in pieces]
    return mean([share for share in shares if share is not None])


def distinct(n: int) -> Take:
    return lambda pieces, setting: repetition.distinct([symbols(each.text) for each in pieces], n)


def known(each: Piece, setting: Setting) -> tuple[int, int] | None:
    return None if setting.reference is None else stability.known_words(each.text, setting.reference.words)


def broken(each: Piece, setting: Setting) -> tuple[int, int] | None:
    if setting.reference is None or not setting.has_subwords:
        return None
    return stability.broken_words(each.text, setting.reference.words, setting.tokenizer)


def recut(each: Piece, setting: Setting) -> tuple[int, int] | None:
    return stability.recut_tokens(each.ids, setting.tokenizer) if setting.has_subwords else None


def not_utf8(each: Piece, setting: Setting) -> tuple[int, int] | None:
    return stability.broken_characters(each.text) if setting.has_subwords else None


def sentence_words(each: Piece, setting: Setting) -> tuple[int, int]:
    lengths = structure.sentence_lengths(each.text)
    return sum(lengths), len(lengths)


def length_distance(pieces: Sequence[Piece], setting: Setting) -> Estimate | None:
    if setting.reference is None:
        return None
    lengths = [structure.sentence_lengths(each.text) for each in pieces]
    return structure.length_distance(lengths, setting.reference.sentence_lengths)


def lines_that_parse(each: Piece, setting: Setting) -> tuple[int, int] | None:
    """The first and the last line may be cut; empty lines say nothing."""
    if setting.reference is None or setting.reference.is_line is None:
        return None
    lines = [line for line in each.text.split("\n")[1:-1] if line]
    return sum(map(setting.reference.is_line, lines)), len(lines)


MEASURES: Mapping[str, Measure] = {
    "repeated_4_grams": Measure(
        "repetition",
        "repeated 4-grams",
        "of the runs of four words or signs of a sample, those that it had before (seq-rep-4, Welleck et al. 2020)",
        repeated,
    ),
    "loops": Measure(
        "repetition",
        "samples that end in a loop",
        "a phrase of two words or more, three times in a row at the end (Holtzman et al. 2020)",
        counted(lambda each, setting: (int(repetition.ends_in_loop(symbols(each.text))), 1)),
    ),
    "distinct_1": Measure(
        "repetition",
        "distinct-1",
        "different words and signs over all of them, all samples together (Li et al. 2016)",
        distinct(1),
    ),
    "distinct_2": Measure("repetition", "distinct-2", "the same of runs of two (Li et al. 2016)", distinct(2)),
    "known_words": Measure(
        "stability",
        "words that the corpus has",
        "of all words; the corpus is its training split",
        counted(known),
    ),
    "broken_words": Measure(
        "stability",
        "broken words",
        "of the words that take several tokens, those that the corpus does not have",
        counted(broken),
    ),
    "recut_tokens": Measure(
        "stability",
        "tokens cut otherwise",
        "of all tokens, those that the tokenizer does not make of the text that they stand for",
        counted(recut),
    ),
    "broken_characters": Measure(
        "stability", "broken characters", "of all characters, those whose bytes are no UTF-8", counted(not_utf8)
    ),
    "sentence_words": Measure(
        "structure",
        "words in a sentence",
        "the mean; a sentence ends in . ! ? or an empty line",
        counted(sentence_words),
        share=False,
    ),
    "sentence_distance": Measure(
        "structure",
        "distance of sentence lengths",
        "from those of the corpus, in words (Wasserstein distance of the two distributions)",
        length_distance,
        share=False,
    ),
    "matched_brackets": Measure(
        "structure",
        "brackets that match",
        "of ( ) [ ] { } and typographic quotes; open ones at the end are left out",
        counted(lambda each, setting: structure.matched_brackets(each.text)),
    ),
    "closed_quotes": Measure(
        "structure",
        "paragraphs whose quotes close",
        'of those that have " at all',
        counted(lambda each, setting: structure.closed_quotes(each.text)),
    ),
    "parsed_lines": Measure(
        "structure",
        "lines that the grammar has",
        "each line for itself; of corpora that come from a grammar",
        counted(lines_that_parse),
    ),
}
