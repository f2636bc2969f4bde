"""One page of HTML that needs nothing but itself: no script, no font, no picture from elsewhere. Light and dark."""

from __future__ import annotations

from collections.abc import Iterable
from html import escape
from importlib.resources import files


def document(title: str, parts: Iterable[str], style: str = "") -> str:
    """A whole page of these parts, which are HTML; empty ones are left out. `title` is plain text, `style` rules beside
    the ones that all pages share (page.css)."""
    shared = files("jaxdec.runs").joinpath("page.css").read_text(encoding="utf-8")
    body = "\n".join(part for part in parts if part)
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>{escape(title)}</title>
<style>
{shared}{style}</style>
</head>
<body>
<main>
{body}
</main>
</body>
</html>
"""


def section(title: str, content: str) -> str:
    """A part with a heading; empty without content."""
    return f"<section>\n<h2>{escape(title)}</h2>\n{content}\n</section>" if content else ""
