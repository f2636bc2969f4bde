"""An inspection as a folder: inspect.html, attention_00.png and so on, lens.png, routing.png."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from jaxdec.config.files import write_text
from jaxdec.data.files import new_folder
from jaxdec.errors import UserError
from jaxdec.inspection.page.page import page
from jaxdec.inspection.pictures import draw_attention, draw_lens, draw_routing
from jaxdec.inspection.text import Inspection


def require_free(folder: Path) -> None:
    """Raises UserError unless a folder can be made there: nothing is ever overwritten."""
    if folder.exists() and not (folder.is_dir() and not any(folder.iterdir())):
        raise UserError(f"{folder} exists already: choose another --out")


def write_folder(
    seen: Inspection, folder: Path, *, title: str, about: str, layers: Sequence[int], heads: Sequence[int]
) -> list[str]:
    """Writes the folder, whole or not at all, and returns the names of its files. Pictures are drawn of the given
    layers and heads; the page has all of them, and opens at the first of these."""
    require_free(folder)
    with new_folder(folder, "the folder") as temporary:
        first = (layers[0], heads[0]) if seen.attention is not None else (0, 0)
        write_text(temporary / "inspect.html", page(seen, title, about, *first))
        for layer in layers if seen.attention is not None else ():
            draw_attention(seen, layer, heads, temporary / f"attention_{layer:02d}.png")
        draw_lens(seen, temporary / "lens.png")
        if seen.choices:
            draw_routing(seen, temporary / "routing.png")
        return sorted(path.name for path in temporary.iterdir())
