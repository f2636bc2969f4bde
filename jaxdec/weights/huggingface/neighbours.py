"""Rotary pairs that are neighbours (Su et al. 2021, eq. 34) where ours stand half of the turning channels apart."""

from __future__ import annotations

from jaxdec.config.model import DecoderConfig
from jaxdec.config.positions import RoPE
from jaxdec.weights.huggingface.tables import Table


def interleaved(config: DecoderConfig, table: Table) -> Table:
    """The table, with the rows of queries and keys reordered. In a layer without rotary positions that changes nothing:
    queries and keys change places alike."""
    turned = dict(table)
    for part, heads in (("query", config.heads), ("key", config.resolved_kv_heads)):
        for name in (f"blocks.{{i}}.attention.{part}.kernel", f"blocks.{{i}}.attention.{part}.bias"):
            if name in turned:
                source, _, ops = turned[name].partition(" : ")
                rows = ops.removesuffix("T").strip()  # what picks the rows of the three comes first, T last
                turned[name] = f"{source} : {rows} {halves(config, heads)} {'T' if ops.endswith('T') else ''}".rstrip()
    return turned


def halves(config: DecoderConfig, heads: int) -> str:
    """The op, for as many channels as turn."""
    found = [place.channels for place in map(config.position_of, range(config.layers)) if isinstance(place, RoPE)]
    return f"halves({heads},{found[0]})" if found and found[0] else f"halves({heads})"
