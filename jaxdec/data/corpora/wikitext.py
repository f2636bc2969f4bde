"""WikiText-2 (Merity et al. 2016), raw: the training part, good and featured articles of the English Wikipedia.

The files have a row per line; the lines of an article are put together again.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from jaxdec.data.corpora.hub import HubCorpus, Source
from jaxdec.data.sources.documents import Document

HEADING = re.compile(r" = [^=].* = \n")  # of an article; " = = Section = = \n" is one of a section


def articles(rows: Iterator[Document]) -> Iterator[Document]:
    """Articles out of lines. One begins with a heading between two empty lines; an empty line comes as ""."""
    article: list[Document] = []
    for row in rows:
        # The line before this one may have been a heading: that is known only now.
        if not row.text.strip() and len(article) > 1 and is_heading(article[-1]) and not article[-2].text.strip():
            yield from together(article[:-1])
            article = article[-1:]
        article.append(row)
    yield from together(article)


def is_heading(line: Document) -> bool:
    return HEADING.fullmatch(line.text) is not None


def together(lines: list[Document]) -> Iterator[Document]:
    """The document of these lines, if they hold any text."""
    text = "".join(line.text or "\n" for line in lines)
    if text.strip():
        yield Document(text, lines[0].start, lines[-1].after)


CORPUS = HubCorpus(
    name="wikitext-2",
    about="good and featured articles of the English Wikipedia, the training part of WikiText-2 raw",
    repo="Salesforce/wikitext",
    sources={
        "": (Source("b08601e04326c79dfdd32d625aee71d232d685c3", "wikitext-2-raw-v1/train-*.parquet"),),
    },
    licence="CC BY-SA 3.0 and GFDL",
    size="6 MB",
    join=articles,
)
