"""Corpora by name or by path: generated ones, real ones with a known checksum, and the user's own files."""

from __future__ import annotations

from pathlib import Path

from jaxdec.config.run import DataConfig
from jaxdec.data.corpora import (
    fra_eng,
    hellaswag,
    induction,
    instruct,
    markov,
    modular,
    playlets,
    preference,
    sms_spam,
    the_verdict,
    tinyshakespeare,
)
from jaxdec.data.corpora.base import Corpus, Generated
from jaxdec.data.corpora.limits import first_documents
from jaxdec.data.corpora.own import own_corpus
from jaxdec.data.corpora.real import RealCorpus
from jaxdec.errors import UserError, nearest

__all__ = ["CORPORA", "GENERATED", "REAL", "Corpus", "Generated", "RealCorpus", "corpus_of", "load_corpus"]

GENERATED: dict[str, Generated] = {
    "playlets": playlets.CORPUS,
    "markov": markov.CORPUS,
    "induction": induction.CORPUS,
    "modular": modular.CORPUS,
}
REAL: dict[str, RealCorpus] = {
    module.CORPUS.name: module.CORPUS
    for module in (tinyshakespeare, the_verdict, sms_spam, instruct, preference, hellaswag, fra_eng)
}
CORPORA: dict[str, str] = {
    **{name: corpus.about for name, corpus in GENERATED.items()},
    **{name: corpus.described for name, corpus in REAL.items()},
}


def load_corpus(
    name_or_path: str,
    from_file: Path | None = None,
    *,
    text_field: str | None = None,
    limit_documents: int | None = None,
    limit_files: int | None = None,
) -> Corpus:
    """The corpus of that name, or that of the file or folder at that path. `from_file`: the user's copy of a real one.

    The others are settings of the same names in `config.run.DataConfig`. Raises UserError for an unknown name, for a
    file that is missing, empty, not what its name says or not the one that the checksum asks for, and for a setting
    that means nothing to the corpus.
    """
    corpus = _load(name_or_path, from_file, text_field, limit_files)
    return corpus if limit_documents is None else first_documents(corpus, limit_documents)


def corpus_of(data: DataConfig, from_file: Path | None = None) -> Corpus:
    """The corpus that a config names, as `load_corpus` gives it."""
    return load_corpus(
        data.corpus,
        from_file,
        text_field=data.text_field,
        limit_documents=data.limit_documents,
        limit_files=data.limit_files,
    )


def _load(name_or_path: str, from_file: Path | None, text_field: str | None, limit_files: int | None) -> Corpus:
    base = name_or_path.partition(":")[0]
    generated = GENERATED.get(base)
    is_generated = generated is not None and (generated.number is not None or name_or_path in GENERATED)
    if name_or_path in REAL or is_generated:
        for setting, value in (("text_field", text_field), ("limit_files", limit_files)):
            if value is not None:
                raise UserError(f"data.{setting} means nothing to the corpus {name_or_path!r}: leave it out")
    if name_or_path in REAL:
        return REAL[name_or_path].load(from_file)
    if generated is not None and is_generated:
        if from_file is not None:
            raise UserError(
                f"the corpus {name_or_path!r} is generated and needs no file: leave out --from-file {from_file}"
            )
        return generated.load(name_or_path)
    path = Path(name_or_path).expanduser()
    if not path.exists():
        raise UserError(
            f"there is neither a corpus nor a file called {name_or_path!r}{nearest(name_or_path, CORPORA)}: "
            f"`jaxdec list` shows the corpora, and a path must lead to a file or folder of text or records"
        )
    if from_file is not None:
        raise UserError(f"--from-file is for a corpus of the list, not beside the path {name_or_path}: leave one out")
    return own_corpus(path, text_field, limit_files)
