"""Samples, as they were drawn, and pieces of held-out text to read beside them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

SHOWN = 2  # of each kind; the others open on demand


def texts_section(values: Mapping[str, Any]) -> str:
    """The texts of the suite `quality`: its own samples on the left, held-out text on the right."""
    drawn = values["drawn"]
    how = (
        f"{drawn['samples']} samples of {drawn['tokens_each']} tokens, drawn from nothing at temperature "
        f"{drawn['temperature']:g} with seed {drawn['seed']}."
    )
    columns = _column("Samples", values["texts"])
    if values["held_out_texts"]:
        how += f" Beside them pieces of the validation split of {drawn['corpus']} that are as long."
        columns += _column("Held-out text", values["held_out_texts"])
    return f'<p class="quiet">{escape(how)}</p><div class="columns">{columns}</div>'


def _column(title: str, texts: Sequence[str]) -> str:
    first, rest = texts[:SHOWN], texts[SHOWN:]
    more = f"<details><summary>{len(rest)} more</summary>{_blocks(rest)}</details>" if rest else ""
    return f"<div><h3>{title}</h3>{_blocks(first)}{more}</div>"


def _blocks(texts: Sequence[str]) -> str:
    return "".join(f'<pre class="text">{escape(text.strip() or "(only white space)")}</pre>' for text in texts)
