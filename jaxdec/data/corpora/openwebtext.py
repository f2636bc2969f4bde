"""OpenWebText (Gokaslan and Cohen 2019): web pages that people linked to on Reddit, as GPT-2's data were chosen."""

from __future__ import annotations

from jaxdec.data.corpora.hub import HubCorpus, Source

CORPUS = HubCorpus(
    name="openwebtext",
    about="web pages that people linked to on Reddit, as GPT-2's data were chosen",
    repo="Skylion007/openwebtext",
    sources={"": (Source("main", "*train-*.parquet"), Source("refs/convert/parquet", "plain_text/train/*.parquet"))},
    licence="CC0-1.0 for the packaging; the texts are their authors'",
    size="24 GB",
)
