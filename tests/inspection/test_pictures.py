"""The pictures and the labels: nothing that a text can hold stops them, or is drawn as something else."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from jaxdec.config.tokenizers import BPE
from jaxdec.data.tokenizers.registry import train_tokenizer
from jaxdec.errors import UserError
from jaxdec.inspection.folder import write_folder
from jaxdec.inspection.labels import text_labels, token_label, token_labels
from jaxdec.inspection.pictures import draw_lens, printable
from jaxdec.inspection.text import Inspection
from tests.inspection.conftest import numbers

PNG = b"\x89PNG\r\n\x1a\n"


def test_a_folder_of_pictures_and_a_page(seen: Inspection, tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()  # an empty folder is free
    names = write_folder(seen, out, title="t", about="a", layers=[1], heads=[0, 2])
    assert names == ["attention_01.png", "inspect.html", "lens.png", "routing.png"]
    assert sorted(path.name for path in out.iterdir()) == names
    for name in names:
        content = (out / name).read_bytes()
        assert content.startswith(PNG if name.endswith(".png") else b"<!doctype html>") and len(content) > 5_000
    before = {path: path.read_bytes() for path in out.iterdir()}
    with pytest.raises(UserError, match="exists already: choose another --out"):
        write_folder(seen, out, title="t", about="a", layers=[0], heads=[0])
    assert before == {path: path.read_bytes() for path in out.iterdir()}


def test_nothing_is_left_of_a_folder_that_fails(
    seen: Inspection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("jaxdec.inspection.folder.draw_routing", fails)
    with pytest.raises(UserError, match="No space left on device"):
        write_folder(replace(seen, attention=None), tmp_path / "out", title="t", about="a", layers=[], heads=[])
    assert not list(tmp_path.iterdir())


def test_a_long_text_is_cut_into_lines(tmp_path: Path) -> None:
    short, long = numbers(1, 1, 7), numbers(1, 1, 40)
    heights = []
    for seen in (short, long):
        draw_lens(seen, tmp_path / "lens.png")
        heights.append(int.from_bytes((tmp_path / "lens.png").read_bytes()[20:24], "big"))
    assert heights[1] > 1.5 * heights[0]


def test_labels_of_halves_of_characters() -> None:
    tokenizer = train_tokenizer(BPE(257), "a")  # bytes alone
    text = 'é <b>\n"🙂'
    assert text_labels(tokenizer, tokenizer.encode(text)) == [
        *("é 1/2", "é 2/2", "␣", "<", "b", ">", "↵", '"', "🙂 1/4", "🙂 2/4", "🙂 3/4", "🙂 4/4")
    ]
    cut = tokenizer.encode("a🙂")[:-1]  # the text ends within a character
    assert text_labels(tokenizer, cut) == ["a", "⟨f0⟩", "⟨9f⟩", "⟨99⟩"]
    own = tokenizer.encode("\ufffda")  # the sign for broken text, by itself
    assert text_labels(tokenizer, own) == ["⟨ef⟩", "⟨bf⟩", "⟨bd⟩", "a"]
    assert token_label(tokenizer, 300) == "⟨#300⟩"
    assert token_labels(tokenizer, tokenizer.encode("\x00 "), after=tokenizer.encode("é b")) == {
        int(tokenizer.encode("\x00")[0]): "\\x00",
        int(tokenizer.encode(" ")[0]): "␣",
    }


def test_labels_that_the_font_lacks() -> None:
    assert printable("中") == "U+4E2D" and printable("␣a↵") == "␣a↵" and printable("🙂 1/4") == "U+1F64…"
    assert printable("unhappiness") == "unhapp…"
