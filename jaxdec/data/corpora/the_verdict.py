"""The Verdict, a short story by Edith Wharton (1908), as Raschka's "Build a Large Language Model" reads it."""

from __future__ import annotations

from jaxdec.data.corpora.instruct import BOOK
from jaxdec.data.corpora.real import RealCorpus

CORPUS = RealCorpus(
    name="the_verdict",
    about="Edith Wharton, The Verdict (1908), a short story",
    file="the-verdict.txt",
    size=20_479,
    sha256="b41e41a68f0398a3154ae69e2e4c0e2694e17fe0d66730536837f1b01935b31f",
    mirrors=(f"{BOOK}/ch02/01_main-chapter-code/the-verdict.txt",),
    licence="public domain",
    origin="rasbt/LLMs-from-scratch",
)
