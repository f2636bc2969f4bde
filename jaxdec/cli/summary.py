"""What a command shows at its end."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any


def show_values(values: Mapping[str, Any], indent: str = "  ") -> dict[str, Any]:
    """Prints one aligned line per value, nested mappings indented, and returns `values`."""
    width = max((len(str(name)) for name in values), default=0)
    for name, value in values.items():
        if isinstance(value, Mapping):
            print(f"{indent}{name}")
            show_values(value, indent + "  ")
        elif value is not None:
            print(f"{indent}{str(name).replace('_', ' '):<{width}}  {_shown(value)}")
    return dict(values)


def _shown(value: Any) -> str:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return str(value)
    if isinstance(value, int):
        return f"{value:,}"
    return f"{value:,.4f}" if 1e-3 <= abs(value) < 1e6 or value == 0 else f"{value:.3e}"
