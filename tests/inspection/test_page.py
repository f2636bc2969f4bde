"""The page in a real browser: it shows the numbers it was given, by pointer, by keys and by its address."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from jaxdec.errors import UserError
from jaxdec.inspection.page.page import page
from jaxdec.inspection.text import Inspection
from tests.browser import Browser, found
from tests.inspection.conftest import LABELS, NAMES, numbers

STEP = 0.5 / 255  # of a square root
ALL_WEIGHTS = """[...Array(data.layers).keys()].map((layer) => [...Array(data.heads).keys()].map((head) =>
  data.labels.map((_, query) => data.labels.map((_, key) => weight(layer, head, query, key)))))"""
GO = "location.hash = '{0}'; new Promise((done) => addEventListener('hashchange', done))"
CELLS = "[...document.querySelectorAll('{0}')].map((row) => [...row.children].map((cell) => cell.textContent))"
PICK = (
    "(() => {{ const s = document.getElementById('{0}'); s.value = '{1}'; s.dispatchEvent(new Event('change')); }})()"
)


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    program = found()
    if program is None:
        pytest.skip("no Chromium on this machine: the page is not opened")
    browser = Browser(program, tmp_path_factory.mktemp("profile"))
    yield browser
    browser.close()


@pytest.fixture
def opened(browser: Browser, seen: Inspection, tmp_path: Path) -> Browser:
    (tmp_path / "inspect.html").write_text(page(seen, 'a <b> & "c"', "about </script>", 0, 1), encoding="utf-8")
    browser.open(f"file://{tmp_path}/inspect.html")
    return browser


def text(browser: Browser, selector: str) -> str:
    return browser.value(f"document.querySelector({selector!r}).textContent")


def test_every_weight_is_the_one_that_was_given(opened: Browser, seen: Inspection) -> None:
    assert seen.attention is not None
    shown = np.array(opened.value(ALL_WEIGHTS))
    assert np.abs(np.sqrt(shown) - np.sqrt(seen.attention)).max() <= STEP + 1e-9
    assert opened.problems == []
    assert len(opened.requests) <= 1  # of itself


def test_another_layer_and_head(opened: Browser, seen: Inspection) -> None:
    assert seen.attention is not None
    picture = "document.getElementById('map').toDataURL()"
    assert text(opened, "#readout").startswith("Layer 0, head 1: \u2068{{data}}\u2069 at 6 reads ")
    before = opened.value(picture)
    opened.value(PICK.format("layer", 1))
    opened.click("#heads button[data-head='2']")
    assert opened.value(picture) != before
    key = int(np.argmax(seen.attention[1, 2, 6]))
    value = seen.attention[1, 2, 6, key]
    line = text(opened, "#readout")
    assert line.startswith(
        f"Layer 1, head 2: \u2068{{{{data}}}}\u2069 at 6 reads \u2068{LABELS[key]}\u2069 at {key} with"
    )
    assert float(line.split("with weight ")[1][:4]) == pytest.approx(value, abs=0.01)
    assert line.endswith("Its sink takes 0.25, so its row sums to less than 1.")
    assert text(opened, "#pattern") == "local, window 16, sink"
    assert opened.value("[layer.value, head.value]") == ["1", "2"]
    assert opened.value("location.hash") == f"#layer=1&head=2&token=6&key={key}"
    assert opened.problems == []


def test_keys_pointer_and_address_move_the_token(opened: Browser, seen: Inspection) -> None:
    current = "Number(document.querySelector('#tokens [aria-current=true]').dataset.token)"
    opened.value("document.querySelector('#tokens [tabindex=\"0\"]').focus()")
    opened.press("ArrowLeft")
    opened.press("ArrowLeft")
    assert opened.value(current) == 4 and opened.value("document.activeElement.dataset.token") == "4"
    opened.press("Home")
    assert opened.value(current) == 0
    opened.click("#tokens button[data-token='3']")  # points at it, and holds it
    assert opened.value(current) == 3 and opened.value("state.held")
    opened.press("Escape")
    assert not opened.value("state.held")
    opened.value("document.getElementById('map').focus()")
    opened.press("ArrowUp")
    assert opened.value("[state.token, state.key]") == [2, min(2, opened.value("state.key"))]
    opened.value(GO.format("#layer=1&head=0&token=5&key=2"))
    assert opened.value("[state.layer, state.head, state.token, state.key]") == [1, 0, 5, 2]
    opened.value(GO.format("#layer=99&head=-4&token=x&key=1e9"))
    assert opened.value("[state.layer, state.head, state.token, state.key]") == [1, 0, 0, 0]
    assert opened.problems == []


def test_lens_and_routing_tables(opened: Browser, seen: Inspection) -> None:
    opened.value("choose({ token: 1 })")
    lens = opened.value(CELLS.format("#lens tbody tr"))
    assert [row[0] for row in lens] == ["embeddings", "after layer 0", "after layer 1"]
    assert [row[1:] for row in lens] == [[NAMES[each] for each in row] for row in seen.lens.id[:, :, 0]]
    detail = opened.value(CELLS.format("#detail tbody tr"))
    assert float(detail[2][1].replace("<", "")) == pytest.approx(seen.lens.true[2, 1], abs=0.0101)
    assert int(detail[2][2]) == seen.lens.rank[2, 1]
    name, probability = detail[1][3].rsplit(" ", 1)
    assert name == NAMES[seen.lens.id[1, 1, 0]]
    assert float(probability) == pytest.approx(seen.lens.probability[1, 1, 0], abs=0.0051)
    experts = seen.choices[1].expert
    routing = opened.value(CELLS.format("#routing tbody td"))
    assert routing == experts.astype(str).tolist()
    assert opened.value("document.querySelectorAll('#routing .dropped').length") == 1
    assert text(opened, "#routing-readout").endswith(f"and expert {experts[1, 1]} (dropped).")


def test_what_comes_from_the_text_is_text(opened: Browser) -> None:
    assert opened.value("[...document.querySelectorAll('#tokens button')].map((c) => c.textContent)") == list(LABELS)
    assert opened.value("document.querySelectorAll('script, img').length") == 2
    assert text(opened, "h1") == opened.value("document.title") == 'a <b> & "c"'
    assert text(opened, "#about") == "about </script>"
    assert opened.problems == []


def test_light_and_dark_wide_and_narrow(opened: Browser) -> None:
    colours = "getComputedStyle(document.body).backgroundColor + document.getElementById('map').toDataURL()"
    ways, shown = "getComputedStyle(document.querySelector('.columns')).flexDirection", []
    for width, dark, way in ((1280, False, "row"), (1280, True, "row"), (360, True, "column")):
        opened.look(width, dark)
        shown.append(opened.value(colours))
        assert opened.value("document.documentElement.scrollWidth") <= width
        assert opened.value(ways) == way
    assert shown[0] != shown[1]
    assert opened.problems == []


def test_a_large_page_stays_small_and_opens(browser: Browser, tmp_path: Path) -> None:
    large = page(numbers(12, 12, 128), "large", "", 11, 11)
    assert len(large) < 3_000_000
    (tmp_path / "large.html").write_text(large, encoding="utf-8")
    browser.open(f"file://{tmp_path}/large.html")
    assert text(browser, "#readout").startswith("Layer 11, head 11: \u2068t127\u2069 at 127 reads ")
    assert browser.problems == []


def test_a_page_without_attention(browser: Browser, seen: Inspection, tmp_path: Path) -> None:
    bare = replace(seen, attention=None, choices={}, patterns=())
    (tmp_path / "bare.html").write_text(page(bare, "bigram", "no attention"), encoding="utf-8")
    browser.open(f"file://{tmp_path}/bare.html")
    assert "has no attention" in text(browser, "#attention")
    browser.click("#tokens button[data-token='2']")
    assert browser.value("location.hash") == "#token=2" and browser.problems == []


def test_too_much_for_a_page_is_refused(seen: Inspection) -> None:
    huge = replace(seen, attention=np.broadcast_to(np.float32(0), (48, 25, 512, 512)), tokens=np.zeros(512, np.int32))
    with pytest.raises(UserError, match=r"a page of 512 tokens would hold 157,593,600 weights: up to 199 tokens fit"):
        page(huge, "huge", "")
