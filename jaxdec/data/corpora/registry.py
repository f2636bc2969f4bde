"""Corpora by name or by path: generated ones, real ones with a known checksum, and any UTF-8 text file.

A real corpus is looked up in the data folder, then downloaded into it; `from_file` puts a copy the user has there.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from jaxdec.data.corpora import induction, markov, modular, playlets
from jaxdec.data.download import fetch
from jaxdec.data.files import decode, read_bytes, sha256, write_whole
from jaxdec.data.folders import data_folder
from jaxdec.errors import UserError, nearest


@dataclass(frozen=True)
class Corpus:
    """`hash` is of what determines the text: equal hashes, equal texts. The text is read or made at the first use.

    `conditional_entropy(n)`: H(next character | n characters before) in nats, or a lower bound of it; None if unknown.
    `answers(text)`: bool, the characters of a stretch of the text that are certain; None if there are none.
    """

    name: str
    hash: str
    read: Callable[[], str]
    conditional_entropy: Callable[[int], float] | None = None
    answers: Callable[[str], np.ndarray] | None = None

    @functools.cached_property
    def text(self) -> str:
        return self.read()


@dataclass(frozen=True)
class RealCorpus:
    """A file of the world outside: <name>/<file> in the data folder, known by its checksum."""

    name: str
    about: str
    file: str
    size: int  # bytes
    sha256: str
    mirrors: tuple[str, ...]


REAL = {
    "tinyshakespeare": RealCorpus(
        name="tinyshakespeare",
        about="40,000 lines of Shakespeare's plays, 1.1 MB (downloaded once; from karpathy/char-rnn)",
        file="input.txt",
        size=1_115_394,
        sha256="86c4e6aa9db7c042ec79f339dcb96d42b0075e16b8fc2e86bf0ca57e2dc565ed",
        mirrors=(
            "https://raw.githubusercontent.com/karpathy/char-rnn/master/data/tinyshakespeare/input.txt",
            "https://storage.googleapis.com/download.tensorflow.org/data/shakespeare.txt",
        ),
    ),
    "the_verdict": RealCorpus(
        name="the_verdict",
        about="Edith Wharton, The Verdict (1908), a short story, 20 kB (downloaded once; from rasbt/LLMs-from-scratch)",
        file="the-verdict.txt",
        size=20_479,
        sha256="b41e41a68f0398a3154ae69e2e4c0e2694e17fe0d66730536837f1b01935b31f",
        mirrors=(
            "https://raw.githubusercontent.com/rasbt/LLMs-from-scratch/main/ch02/01_main-chapter-code/the-verdict.txt",
        ),
    ),
}

CORPORA = {
    "playlets": "short stage plays from a grammar, 1.7 MB, with the exact entropy rate (generated)",
    "markov": "a Markov chain of order 2 over 8 letters, 1 MB, exact entropies; markov:K for order K (generated)",
    "induction": "lines to look up: which letter followed this one? Solved by two attention layers (generated)",
    "modular": "sums modulo 23, `7+k=4`; modular:P for another P (generated)",
    **{corpus.name: corpus.about for corpus in REAL.values()},
}


def load_corpus(name_or_path: str, from_file: Path | None = None) -> Corpus:
    """The corpus of that name, or the text file at that path. `from_file`: the user's copy of a real corpus.

    Raises UserError for an unknown name, and for a file that is missing, a folder, empty, not UTF-8 or not the
    one that the checksum asks for.
    """
    name, _, option = name_or_path.partition(":")
    if name_or_path in REAL:
        return _real(REAL[name_or_path], from_file)
    path = Path(name_or_path).expanduser()
    if name_or_path not in CORPORA and name not in NUMBERED:
        if not path.exists():
            raise UserError(
                f"there is neither a corpus nor a file called {name_or_path!r}{nearest(name_or_path, CORPORA)}: "
                f"`jaxdec list` shows the corpora, and a path must lead to a UTF-8 text file"
            )
        if from_file is not None:
            raise UserError(
                f"--from-file is for a corpus of the list, not beside the path {name_or_path}: leave one out"
            )
        return _file(path)
    if from_file is not None:
        raise UserError(
            f"the corpus {name_or_path!r} is generated and needs no file: leave out --from-file {from_file}"
        )
    if name == "markov":
        chain = markov.Markov(_number(name_or_path, option))
        return Corpus(name_or_path, chain.fingerprint(), chain.generate, chain.conditional_entropy)
    if name == "modular":
        p = _number(name_or_path, option)
        rate, read = modular.entropy_rate(p), functools.partial(modular.generate, p)
        return Corpus(name_or_path, modular.fingerprint(p), read, lambda n: rate, modular.answers)
    if name == "induction":
        rate = induction.entropy_rate()
        return Corpus(name, induction.fingerprint(), induction.generate, lambda n: rate, induction.answers)
    rate = playlets.entropy_rate()
    return Corpus(name, playlets.fingerprint(), playlets.generate, lambda n: rate)


# Corpora that take a number after a colon: what it is, its letter, its default, the least and the most.
NUMBERED = {
    "markov": ("order", "K", markov.ORDER, 0, markov.MAX_ORDER),
    "modular": ("modulus", "P", modular.MODULUS, 2, modular.MAX_MODULUS),
}


def _number(name_or_path: str, option: str) -> int:
    name, colon, _ = name_or_path.partition(":")
    what, letter, default, least, most = NUMBERED[name]
    if not colon:
        return default
    if not (option.isascii() and option.isdigit() and least <= int(option) <= most):
        raise UserError(
            f"the corpus {name_or_path!r} has no {what}: "
            f"write {name}:{letter} with a whole {letter} from {least} to {most}"
        )
    return int(option)


def _file(path: Path) -> Corpus:
    content = read_bytes(path, "the corpus")
    text = decode(content, path, "the corpus")
    return Corpus(str(path), sha256(content), lambda: text)


def _real(corpus: RealCorpus, from_file: Path | None) -> Corpus:
    if from_file is not None:
        content = read_bytes(from_file, "the file given with --from-file")
        if (found := sha256(content)) != corpus.sha256:
            raise UserError(
                f"--from-file {from_file} is not {corpus.name}: it has {len(content):,} bytes, sha256 {found}, "
                f"not {corpus.size:,} bytes, {corpus.sha256}. To train on it anyway, give its path as the corpus"
            )
        place = _place(corpus)
        if not place.exists():
            write_whole(place, content, "the data file")
    return Corpus(corpus.name, corpus.sha256, lambda: _read_real(corpus))


def _place(corpus: RealCorpus) -> Path:
    return data_folder() / corpus.name / corpus.file


def _read_real(corpus: RealCorpus) -> str:
    place = _place(corpus)
    if not place.exists():
        content = fetch(corpus.name, corpus.mirrors, corpus.size, corpus.sha256, place)
    else:
        content = read_bytes(place, f"the corpus {corpus.name} in")
        if sha256(content) != corpus.sha256:
            raise UserError(
                f"{place} is not {corpus.name}: its sha256 is {sha256(content)}, expected is {corpus.sha256}. "
                f"Delete it (it is downloaded again), or replace it with --from-file PATH"
            )
    return decode(content, place, "the corpus")
