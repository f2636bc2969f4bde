"""Corpora by name or by path: generated ones, real ones with a known checksum, and the user's own files."""

from __future__ import annotations

from pathlib import Path

from jaxdec.config.run import DataConfig
from jaxdec.data.corpora import (
    fineweb_edu,
    fra_eng,
    hellaswag,
    induction,
    instruct,
    letters,
    markov,
    modular,
    openwebtext,
    playlets,
    preference,
    sms_spam,
    the_verdict,
    tinyshakespeare,
    tinystories,
    wikitext,
)
from jaxdec.data.corpora.base import Corpus, Generated
from jaxdec.data.corpora.hub import HubCorpus
from jaxdec.data.corpora.limits import first_documents
from jaxdec.data.corpora.own import own_corpus
from jaxdec.data.corpora.real import RealCorpus
from jaxdec.errors import UserError, nearest

__all__ = ["CORPORA", "GENERATED", "HUB", "REAL", "Corpus", "Generated", "RealCorpus", "corpus_of", "load_corpus"]

GENERATED: dict[str, Generated] = {
    "playlets": playlets.CORPUS,
    "markov": markov.CORPUS,
    "induction": induction.CORPUS,
    "modular": modular.CORPUS,
    "reverse": letters.REVERSE,
    "sort": letters.SORT,
}
REAL: dict[str, RealCorpus] = {
    module.CORPUS.name: module.CORPUS
    for module in (tinyshakespeare, the_verdict, sms_spam, instruct, preference, hellaswag, fra_eng)
}
HUB: dict[str, HubCorpus] = {
    module.CORPUS.name: module.CORPUS for module in (wikitext, tinystories, openwebtext, fineweb_edu)
}
CORPORA: dict[str, str] = {
    **{name: corpus.about for name, corpus in GENERATED.items()},
    **{name: corpus.described for name, corpus in REAL.items()},
    **{name: corpus.described for name, corpus in HUB.items()},
}


def load_corpus(
    name_or_path: str,
    from_file: Path | None = None,
    *,
    text_field: str | None = None,
    limit_documents: int | None = None,
    limit_files: int | None = None,
    keep_files: bool = False,
) -> Corpus:
    """The corpus of that name, or that of the file or folder at that path. `from_file`: the user's copy of a real one.

    `text_field` and the limits are settings of `config.run.DataConfig`; `keep_files`: files that are downloaded one by
    one stay. Raises UserError for an unknown name, for a file that is missing, empty, not what its name says or not the
    one that the checksum asks for, and for a setting that means nothing to the corpus.
    """
    corpus = _load(name_or_path, from_file, text_field, limit_files, keep_files)
    return corpus if limit_documents is None else first_documents(corpus, limit_documents)


def corpus_of(data: DataConfig, from_file: Path | None = None, *, keep_files: bool = False) -> Corpus:
    """The corpus that a config names, as `load_corpus` gives it."""
    return load_corpus(
        data.corpus,
        from_file,
        text_field=data.text_field,
        limit_documents=data.limit_documents,
        limit_files=data.limit_files,
        keep_files=keep_files,
    )


def _load(
    name: str, from_file: Path | None, text_field: str | None, limit_files: int | None, keep_files: bool
) -> Corpus:
    base = name.partition(":")[0]
    if base in HUB:
        _require_unset(name, text_field=text_field)
        return HUB[base].load(name, from_file, limit_files, keep_files)
    if name in REAL:
        _require_unset(name, text_field=text_field, limit_files=limit_files)
        return REAL[name].load(from_file)
    generated = GENERATED.get(base)
    if generated is not None and (generated.number is not None or name in GENERATED):
        _require_unset(name, text_field=text_field, limit_files=limit_files)
        if from_file is not None:
            raise UserError(f"the corpus {name!r} is generated and needs no file: leave out --from-file {from_file}")
        return generated.load(name)
    path = Path(name).expanduser()
    if not path.exists():
        raise UserError(
            f"there is neither a corpus nor a file called {name!r}{nearest(name, CORPORA)}: "
            f"`jaxdec list` shows the corpora, and a path must lead to a file or folder of text or records"
        )
    if from_file is not None:
        raise UserError(f"--from-file is for a corpus of the list, not beside the path {name}: leave one out")
    return own_corpus(path, text_field, limit_files)


def _require_unset(corpus: str, **settings: object) -> None:
    for name, value in settings.items():
        if value is not None:
            raise UserError(f"data.{name} means nothing to the corpus {corpus!r}: leave it out")
