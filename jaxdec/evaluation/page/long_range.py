"""The suite `long_range`: the loss by the length of the context, and the copying of a passage."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from typing import Any

from jaxdec.evaluation.page.tables import figure, values_table
from jaxdec.evaluation.quality.long_range import COPYING
from jaxdec.runs.charts import Series, chart

ROWS = {"passages": "passages", "tokens_each": "tokens of a passage", **COPYING}


def long_range_section(values: Mapping[str, Any]) -> str:
    parts = [f"<p>Left out: {escape(values[name])}.</p>" for name in ("left_out", "left_out_copying") if name in values]
    if "context" in values:
        parts += [_chart(values), _table(values["context"])]
    if "copying" in values:
        copying = values["copying"]
        rows = {ROWS[name]: copying[name] for name in ROWS}
        errors = {f"{label}_standard_error": copying[f"{name}_standard_error"] for name, label in COPYING.items()}
        about = (
            "Random tokens, written twice: the second copy can be predicted by looking up the first (Olsson et al. "
            "2022). The copy score is the share of the loss that the second copy saves: 0 without copying, 1 at best."
        )
        parts.append(f'<h3>Copying of a passage</h3><p class="quiet">{about}</p>{values_table({**rows, **errors})}')
    return "".join(parts)


def _chart(values: Mapping[str, Any]) -> str:
    rows = values["context"]
    lengths = [int(length) for length in rows]
    losses = [row["loss"] for row in rows.values()]
    texts = [
        f"{length} tokens: {figure(row['loss'], row['loss_standard_error'])}"
        for length, row in zip(lengths, rows.values(), strict=True)
    ]
    title = f"loss of the same {values['targets']:,} targets (nats per token) by tokens of context"
    series = [Series("held-out text", losses, texts, places=lengths)]
    drawing = chart(title, series, log=False, log_places=True, labels=[(length, f"{length:,}") for length in lengths])
    return f"<figure><figcaption>{escape(title)}</figcaption>{drawing}</figure>"


def _table(rows: Mapping[str, Mapping[str, Any]]) -> str:
    head = '<th class="n">tokens of context</th><th class="n">loss</th><th class="n">gain over the row before</th>'
    body = "".join(
        f'<tr><td class="n">{int(length):,}</td><td class="n">{figure(row["loss"], row["loss_standard_error"])}</td>'
        f'<td class="n">{figure(row["gain"], row["gain_standard_error"]) if "gain" in row else ""}</td></tr>'
        for length, row in rows.items()
    )
    table = f'<table class="contexts"><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>'
    return f"<details><summary>as a table</summary>{table}</details>"
