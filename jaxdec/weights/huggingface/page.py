"""The tables of docs/huggingface.md that follow from the registry: `python -m jaxdec.weights.huggingface.page` writes
them into the page."""

from __future__ import annotations

import re
from pathlib import Path

from jaxdec.weights.huggingface.registry import FAMILIES

PAGE = Path(__file__).parents[3] / "docs" / "huggingface.md"


def tables() -> dict[str, str]:
    """The generated parts of the page by name, in Markdown."""
    return {"families": families(), "refused": refused(), "ignored": ignored()}


def families() -> str:
    """What each family is in our parts, and the tiny configs that the checker has of it."""
    rows = [
        (f"`{name}`", family.summary, ", ".join(f"`hf:{pair}`" for pair in family.tiny))
        for name, family in FAMILIES.items()
    ]
    return _table(("`model_type`", "as our `DecoderConfig`", "pairs"), rows)


def refused() -> str:
    """The settings that end in one line, by reason."""
    found: dict[tuple[str, str], dict[str, list[str]]] = {}
    for name, family in FAMILIES.items():
        for each in family.refused:
            values = found.setdefault((each.setting, each.why), {})
            values.setdefault(f"`{each.value!r}`", []).append(name)
    rows = []
    for (setting, why), values in found.items():
        names = dict.fromkeys(name for families in values.values() for name in families)
        rows.append((f"`{setting}`", ", ".join(values), _families(list(names)), why))
    return _table(("setting", "for example", "families", "why"), rows)


def ignored() -> str:
    """The settings that transformers does not read, so that we do not either."""
    found: dict[tuple[str, str], list[str]] = {}
    for name, family in FAMILIES.items():
        for setting, why in family.ignored.items():
            found.setdefault((setting, why), []).append(name)
    return _table(
        ("setting", "families", "why"),
        [(f"`{setting}`", _families(names), why) for (setting, why), names in found.items()],
    )


def filled(page: str) -> str:
    """The page with its generated parts as they should be. Raises ValueError where it lacks the marks of one."""
    for name, table in tables().items():
        part = re.compile(rf"(<!-- generated: {name} -->\n).*?(<!-- end -->)", re.DOTALL)
        if not part.search(page):
            raise ValueError(f"the page has no part '<!-- generated: {name} -->' ... '<!-- end -->'")
        page = part.sub(lambda found, table=table: f"{found[1]}{table}{found[2]}", page)
    return page


def _families(names: list[str]) -> str:
    """The names, or the fewer that lack."""
    others = [name for name in FAMILIES if name not in names]
    listed = [f"`{name}`" for name in (names if len(names) <= len(FAMILIES) / 2 else others)]
    return ", ".join(listed) if len(names) <= len(FAMILIES) / 2 else f"all but {', '.join(listed)}"


def _table(head: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    return "".join(f"| {' | '.join(cells)} |\n" for cells in (head, ("---",) * len(head), *rows))


if __name__ == "__main__":
    PAGE.write_text(filled(PAGE.read_text()))
