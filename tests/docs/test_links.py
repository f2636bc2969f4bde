"""Pages lead somewhere: every link and every file that a page names is there, and the index names every page."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent
PAGES = sorted([ROOT / "README.md", ROOT / "data" / "README.md", *(ROOT / "docs").rglob("*.md")])
LINK = re.compile(r"\[[^\]]*\]\(([^)#\s]+)[^)]*\)")
FILE = re.compile(r"`((?:[\w.]+/)+[\w.]+\.(?:py|md|txt|css|json|grammar))`")


def places(page: Path) -> list[Path]:
    """Where a file that a page names may lie: as from the root, from a package, or from the page."""
    return [ROOT, ROOT / "jaxdec", ROOT / "jaxdec" / "parity", ROOT / "torchref", ROOT / "tests", page.parent]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_what_a_page_names_is_there(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    links = [link for link in LINK.findall(text) if "://" not in link]
    missing = [link for link in links if not (page.parent / link).exists()]
    made = ("config.yaml", "runs/", "tokenizer/", "RUN/")  # written by commands that the page shows
    for name in FILE.findall(text):
        if not name.startswith(made) and not any((place / name).exists() for place in places(page)):
            missing.append(name)
    assert not missing, f"{page.relative_to(ROOT)} names what is not there: {missing}"


def test_the_index_names_every_page() -> None:
    index = (ROOT / "docs" / "README.md").read_text(encoding="utf-8")
    linked = {(ROOT / "docs" / link).resolve() for link in LINK.findall(index) if "://" not in link}
    pages = set((ROOT / "docs").glob("*.md")) | set((ROOT / "docs").glob("*/README.md"))
    assert pages - {ROOT / "docs" / "README.md"} <= linked
    ladder = (ROOT / "docs" / "ladder" / "README.md").read_text(encoding="utf-8")
    assert {page.name for page in (ROOT / "docs" / "ladder").glob("*.md")} - {"README.md"} <= set(LINK.findall(ladder))
    assert "(docs/README.md)" in (ROOT / "README.md").read_text(encoding="utf-8")


def test_a_dead_name_would_be_found() -> None:
    assert LINK.findall("see [a page](ladder/none.md) and [a site](https://example.org)") == [
        "ladder/none.md",
        "https://example.org",
    ]
    assert FILE.findall("`layers/attention.py` and `x.py` and `jaxdec/config/run.py`") == [
        "layers/attention.py",
        "jaxdec/config/run.py",
    ]
