"""FineWeb-Edu (Penedo et al. 2024): web pages that a classifier found educational; its samples by tokens of GPT-2."""

from __future__ import annotations

from jaxdec.data.corpora.hub import HubCorpus, Source

CORPUS = HubCorpus(
    name="fineweb-edu",
    about="web pages that a classifier found educational, a sample of 10 billion tokens; fineweb-edu:100BT and :350BT",
    repo="HuggingFaceFW/fineweb-edu",
    sources={size: (Source("main", f"sample/{size}/*.parquet"),) for size in ("10BT", "100BT", "350BT")},
    licence="ODC-By 1.0",
    size="30 GB",
)
