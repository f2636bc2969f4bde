"""docs/formats.md says of every format what the code does."""

from __future__ import annotations

from pathlib import Path

from jaxdec.weights.formats.registry import FORMATS

PAGE = Path(__file__).parents[3] / "docs" / "formats.md"


def test_the_table_has_every_format_and_says_which_are_written() -> None:
    rows = [line.split("|") for line in PAGE.read_text(encoding="utf-8").splitlines() if line.startswith("| `")][1:]
    table = {row[1].strip(" `"): row[3].strip() for row in rows}
    assert set(table) == set(FORMATS) - {"huggingface"}
    assert {name for name, written in table.items() if written == "not written"} == {
        name for name, each in FORMATS.items() if each.write is None and name != "peft"
    }  # adapters of a run alone, by `runs/adapters.py`
