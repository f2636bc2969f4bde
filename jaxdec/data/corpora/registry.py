"""Corpora by name or by path: generated ones, real ones with a known checksum, and any UTF-8 text file."""

from __future__ import annotations

from pathlib import Path

from jaxdec.data.corpora import induction, markov, modular, playlets
from jaxdec.data.corpora.base import Corpus, Generated, one_text
from jaxdec.data.corpora.real import THE_VERDICT, TINYSHAKESPEARE, RealCorpus
from jaxdec.data.files import decode, read_bytes, sha256
from jaxdec.errors import UserError, nearest

__all__ = ["CORPORA", "GENERATED", "REAL", "Corpus", "Generated", "RealCorpus", "load_corpus"]

GENERATED: dict[str, Generated] = {
    "playlets": playlets.CORPUS,
    "markov": markov.CORPUS,
    "induction": induction.CORPUS,
    "modular": modular.CORPUS,
}
REAL: dict[str, RealCorpus] = {corpus.name: corpus for corpus in (TINYSHAKESPEARE, THE_VERDICT)}
CORPORA = {name: corpus.about for name, corpus in {**GENERATED, **REAL}.items()}


def load_corpus(name_or_path: str, from_file: Path | None = None) -> Corpus:
    """The corpus of that name, or the text file at that path. `from_file`: the user's copy of a real corpus.

    Raises UserError for an unknown name, and for a file that is missing, a folder, empty, not UTF-8 or not the
    one that the checksum asks for.
    """
    if name_or_path in REAL:
        return REAL[name_or_path].load(from_file)
    generated = GENERATED.get(name_or_path.partition(":")[0])
    if generated is not None and (generated.number is not None or name_or_path in GENERATED):
        if from_file is not None:
            raise UserError(
                f"the corpus {name_or_path!r} is generated and needs no file: leave out --from-file {from_file}"
            )
        return generated.load(name_or_path)
    path = Path(name_or_path).expanduser()
    if not path.exists():
        raise UserError(
            f"there is neither a corpus nor a file called {name_or_path!r}{nearest(name_or_path, CORPORA)}: "
            f"`jaxdec list` shows the corpora, and a path must lead to a UTF-8 text file"
        )
    if from_file is not None:
        raise UserError(f"--from-file is for a corpus of the list, not beside the path {name_or_path}: leave one out")
    content = read_bytes(path, "the corpus")
    text = decode(content, path, "the corpus")
    return one_text(str(path), sha256(content), lambda: text)
