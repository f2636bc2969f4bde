"""Corpora of pairs (source, target) by name, or by the path of a file of lines `source<TAB>target`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from jaxdec.data.corpora import fra_eng, reversal
from jaxdec.data.files import decode, read_bytes, sha256
from jaxdec.errors import UserError, nearest

SentencePair = tuple[str, str]


@dataclass(frozen=True)
class PairCorpus:
    """`determined`: the target follows from the source, so that the least possible loss is zero."""

    name: str
    pairs: list[SentencePair]
    determined: bool

    @property
    def hash(self) -> str:
        return sha256("\n".join("\t".join(pair) for pair in self.pairs).encode())


@dataclass(frozen=True)
class GeneratedPairs:
    """Pairs that a program makes, whose targets follow from their sources."""

    about: str
    generate: Callable[[], list[SentencePair]]


@dataclass(frozen=True)
class RealPairs:
    """Pairs that people wrote: `read(from_file)` gives lines `source<TAB>target`, and takes the user's copy."""

    about: str
    read: Callable[[Path | None], str]


TABLE: dict[str, GeneratedPairs | RealPairs] = {
    "reverse": GeneratedPairs(
        "20,000 strings of letters and the same strings reversed (generated)", partial(reversal.generate, "reverse")
    ),
    "sort": GeneratedPairs(
        "20,000 strings of letters and their letters in order (generated)", partial(reversal.generate, "sort")
    ),
    "fra_eng": RealPairs(
        "76,037 pairs of English and French sentences (4.0 MB; CC BY 2.0 FR; a file to put into the data folder)",
        fra_eng.read,
    ),
}
PAIR_CORPORA = {name: corpus.about for name, corpus in TABLE.items()}


def load_pairs(name_or_path: str, from_file: Path | None = None) -> PairCorpus:
    """The corpus of that name, or the file at that path. `from_file`: the user's copy of a real corpus.

    Raises UserError for an unknown name, a file that cannot be used, and a line that is no pair.
    """
    corpus = TABLE.get(name_or_path)
    if isinstance(corpus, RealPairs):
        return PairCorpus(name_or_path, parse(corpus.read(from_file), name_or_path), determined=False)
    if from_file is not None:
        real = [name for name, entry in TABLE.items() if isinstance(entry, RealPairs)]
        raise UserError(f"--from-file is for the corpus {' or '.join(real)}, not for {name_or_path}: leave it out")
    if corpus is not None:
        return PairCorpus(name_or_path, corpus.generate(), determined=True)
    path = Path(name_or_path).expanduser()
    if not path.exists():
        hint = nearest(name_or_path, PAIR_CORPORA)
        raise UserError(
            f"there is neither a corpus of pairs nor a file called {name_or_path!r}{hint}: an encoder-decoder reads "
            "pairs, by one of these names or from a UTF-8 file of lines source<TAB>target"
        )
    text = decode(read_bytes(path, "the corpus"), path, "the corpus")
    return PairCorpus(str(path), parse(text, str(path)), determined=False)


def parse(text: str, place: str) -> list[SentencePair]:
    """The pair of each line; what follows a second tab (Tatoeba's attribution) is left out."""
    pairs = []
    for number, line in enumerate(text.replace("\r\n", "\n").removesuffix("\n").split("\n"), start=1):
        parts = [part.strip() for part in line.split("\t")]
        if len(parts) < 2 or not parts[0] or not parts[1]:
            raise UserError(f"line {number} of {place} is no pair: write source<TAB>target, both with text in it")
        pairs.append((parts[0], parts[1]))
    return pairs
