"""TinyStories (Eldan and Li 2023): short stories in the words of small children, by GPT-3.5 and GPT-4; the training
part."""

from __future__ import annotations

from jaxdec.data.corpora.hub import HubCorpus, Source

CORPUS = HubCorpus(
    name="tinystories",
    about="short stories in the words of small children, by GPT-3.5 and GPT-4",
    repo="roneneldan/TinyStories",
    sources={"": (Source("f54c09fd23315a6f9c86f9dc80f725de7d8f9c64", "data/train-*.parquet"),)},
    licence="CDLA-Sharing-1.0",
    size="1 GB",
)
