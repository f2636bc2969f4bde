"""The page of an evaluation in headless Chromium: no complaint, no request, no script of a model's text."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from jaxdec.evaluation.page.page import to_html
from tests.browser import Browser, found
from tests.evaluation.page.results import CONFIG, HOSTILE, LOG, result

PROGRAM = found()
if PROGRAM is None:
    pytest.skip("there is no Chromium on this machine", allow_module_level=True)

# What sticks out to the right of a window, leaving out what can be scrolled.
STICKS_OUT = """[...document.querySelectorAll('main *')]
    .filter((e) => !e.closest('.wide, .text') && e.getBoundingClientRect().right > innerWidth)
    .map((e) => e.outerHTML)"""


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    assert PROGRAM is not None
    browser = Browser(PROGRAM, tmp_path_factory.mktemp("profile"))
    yield browser
    browser.close()


def test_a_page_with_hostile_texts_is_only_a_page(browser: Browser, tmp_path: Path):
    page = tmp_path / "evaluation.html"
    hostile = result(HOSTILE, **{HOSTILE: {HOSTILE: HOSTILE}})
    page.write_text(to_html(hostile, CONFIG, LOG, CONFIG), encoding="utf-8")
    browser.open(page.as_uri())
    assert browser.problems == []
    assert browser.requests == [page.as_uri()], "nothing else is loaded"
    assert browser.value("document.title") == f"Evaluation of {HOSTILE}"
    assert browser.value("document.querySelectorAll('script, img').length") == 0
    assert browser.value("document.querySelector('.text').textContent") == HOSTILE
    for width in (1000, 400):
        browser.look(width, dark=False)
        assert browser.value(STICKS_OUT) == []

    page.write_text(page.read_text(encoding="utf-8").replace("</main>", f"{HOSTILE}</main>"), encoding="utf-8")
    browser.open(page.as_uri())  # the same text, not escaped: the test would see it
    assert browser.value("document.title") == "taken" and browser.problems


def test_dark_and_light_differ_in_every_colour_that_matters(browser: Browser, tmp_path: Path):
    page = tmp_path / "evaluation.html"
    page.write_text(to_html(result(), CONFIG, LOG, CONFIG), encoding="utf-8")
    browser.open(page.as_uri())
    places = {
        "body": ("backgroundColor", "color"),
        ".text": ("backgroundColor",),
        ".pair circle": ("fill",),
        "figure .line path": ("stroke",),
    }
    asked = [f"getComputedStyle(document.querySelector('{e}')).{name}" for e, names in places.items() for name in names]
    colours = []
    for dark in (False, True):
        browser.look(1000, dark=dark)
        colours.append([browser.value(each) for each in asked])
    assert all(light != dark for light, dark in zip(*colours, strict=True))


def test_a_printed_page_shows_its_tables_whole(browser: Browser, tmp_path: Path):
    page = tmp_path / "evaluation.html"
    page.write_text(to_html(result(), CONFIG, LOG, CONFIG), encoding="utf-8")
    browser.open(page.as_uri())
    browser.look(690, dark=False)  # as wide as A4 within its margins
    tables = "[...document.querySelectorAll('.measures')]"
    wider = f"{tables}.filter((e) => e.getBoundingClientRect().right > innerWidth)"
    assert browser.value(f"{wider}.length") > 0, "on a screen they are scrolled"
    browser.call("Emulation.setEmulatedMedia", media="print")
    assert browser.value(f"{wider}.length") == 0
    assert browser.value("getComputedStyle(document.querySelector('.text')).maxHeight") == "none"
