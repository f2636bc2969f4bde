"""Results as tables: names and figures, each with its standard error, mappings as tables of their own."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from typing import Any

ERROR = "_standard_error"


def values_table(values: Mapping[str, Any]) -> str:
    """A row for each number or text, a table below for each mapping. Lists are for files: their lengths are shown."""
    rows = "".join(
        f"<tr><th>{escape(_title(name))}</th>{_cell(value, values.get(name + ERROR))}</tr>"
        for name, value in values.items()
        if not isinstance(value, Mapping) and not name.endswith(ERROR) and value is not None
    )
    tables = f'<table class="values">{rows}</table>' if rows else ""
    for name, value in values.items():
        if isinstance(value, Mapping) and value:
            tables += f"<h3>{escape(_title(name))}</h3>{values_table(value)}"
    return tables


def figure(value: float, error: float | None = None) -> str:
    """ "1.2345 ± 0.0067" """
    spread = "" if error is None else f" ± {_number(error)}"
    return f"{_number(value)}{spread}"


def _number(value: float) -> str:
    if isinstance(value, int):
        return f"{value:,}"
    return f"{value:,.4f}" if value == 0 or 1e-3 <= abs(value) < 1e6 else f"{value:.2e}"


def _title(name: str) -> str:
    return str(name).replace("_", " ")


def _cell(value: Any, error: Any) -> str:
    if isinstance(value, list | tuple):
        return f'<td class="n">{len(value):,} entries</td>'
    if isinstance(value, bool) or not isinstance(value, int | float):
        return f"<td>{escape(str(value))}</td>"
    return f'<td class="n">{figure(value, error if isinstance(error, int | float) else None)}</td>'
