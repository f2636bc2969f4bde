"""Corpora of pairs (source, target) by name, or by the path of a file of lines `source<TAB>target`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from jaxdec.data.corpora import fra_eng, reversal
from jaxdec.data.files import decode, read_bytes, sha256
from jaxdec.errors import UserError, nearest

Pair = tuple[str, str]
PAIR_CORPORA: Mapping[str, str] = {
    "reverse": "20,000 strings of letters and the same strings reversed (generated)",
    "sort": "20,000 strings of letters and their letters in order (generated)",
    "fra_eng": "76,037 pairs of English and French sentences, 4 MB (a file to put into the data folder)",
}


@dataclass(frozen=True)
class PairCorpus:
    """`determined`: the target follows from the source, so that the least possible loss is zero."""

    name: str
    pairs: list[Pair]
    determined: bool

    @property
    def hash(self) -> str:
        return sha256("\n".join("\t".join(pair) for pair in self.pairs).encode())


def load_pairs(name_or_path: str, from_file: Path | None = None) -> PairCorpus:
    """The corpus of that name, or the file at that path. `from_file`: the user's copy of a real corpus.

    Raises UserError for an unknown name, a file that cannot be used, and a line that is no pair.
    """
    if name_or_path == "fra_eng":
        return PairCorpus("fra_eng", parse(fra_eng.read(from_file), "fra_eng"), determined=False)
    if from_file is not None:
        raise UserError(f"--from-file is for the corpus fra_eng, not for {name_or_path}: leave it out")
    if name_or_path in reversal.TASKS:
        return PairCorpus(name_or_path, reversal.generate(name_or_path), determined=True)
    path = Path(name_or_path).expanduser()
    if not path.exists():
        hint = nearest(name_or_path, PAIR_CORPORA)
        raise UserError(
            f"there is neither a corpus of pairs nor a file called {name_or_path!r}{hint}: an encoder-decoder reads "
            "pairs, by one of these names or from a UTF-8 file of lines source<TAB>target"
        )
    text = decode(read_bytes(path, "the corpus"), path, "the corpus")
    return PairCorpus(str(path), parse(text, str(path)), determined=False)


def parse(text: str, place: str) -> list[Pair]:
    """The pair of each line; what follows a second tab (Tatoeba's attribution) is left out."""
    pairs = []
    for number, line in enumerate(text.replace("\r\n", "\n").removesuffix("\n").split("\n"), start=1):
        parts = [part.strip() for part in line.split("\t")]
        if len(parts) < 2 or not parts[0] or not parts[1]:
            raise UserError(f"line {number} of {place} is no pair: write source<TAB>target, both with text in it")
        pairs.append((parts[0], parts[1]))
    return pairs
