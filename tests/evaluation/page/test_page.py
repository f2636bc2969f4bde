"""The page of an evaluation: what it shows, and that no text of a model can become a part of it."""

from __future__ import annotations

import re
from html.parser import HTMLParser

import pytest

from jaxdec.evaluation.page.curves import POINTS, curves
from jaxdec.evaluation.page.page import to_html
from jaxdec.evaluation.quality.health import summary
from tests.evaluation.page.results import CONFIG, HOSTILE, LOG, result


class Page(HTMLParser):
    """The elements of a page, and its text."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.open: list[str] = []
        self.text = ""
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs
        if tag not in ("meta", "br", "img") and tag not in ("path", "use", "line", "rect", "circle"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag not in ("path", "use", "line", "rect", "circle"):
            assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data if self.open[-1:] != ["style"] else ""


def test_no_text_becomes_a_part_of_the_page():
    hostile = result(HOSTILE, **{HOSTILE: {HOSTILE: HOSTILE, "list": [HOSTILE], "inner": {HOSTILE: 1.0}}})
    page, harmless = Page(to_html(hostile, CONFIG, LOG, CONFIG)), Page(to_html(result(), CONFIG, LOG, CONFIG))
    assert not page.open, "every element is closed where it was opened"
    assert set(page.tags) == set(harmless.tags) and not {"script", "img", "b"} & set(page.tags)
    assert HOSTILE in page.text
    assert not [name for name, _ in page.attributes if name.startswith("on")]


def test_the_page_needs_nothing_but_itself():
    html = to_html(result(), CONFIG, LOG, CONFIG)
    values = [value or "" for name, value in Page(html).attributes if name in ("src", "href", "xlink:href")]
    assert all(value.startswith("#") for value in values)
    assert "@import" not in html and not re.search(r"url\((?!['\"]?#)", html)
    assert "prefers-color-scheme: dark" in html and "@media print" in html


def test_what_the_page_says():
    text = Page(
        to_html(result(suite={"acc": 0.5, "acc_standard_error": 0.25, "rows": [1, 2]}), CONFIG, LOG, CONFIG)
    ).text
    for said in ("25.00 ± 1.00 %", "50.00 ± 1.00 %", "-17.7", "in every sample", "error not known", "+0.7",
                 "3.50", "2.0000 ± 0.1000", "0.5000 ± 0.0500", "copy score", "0.7500 ± 0.0300", "(only white space)",
                 "gradient norm", "blocks.1", "clipped to 1", "usual 0.001", "Suite suite", "0.5000 ± 0.2500",
                 "2 entries", "Held out."):  # fmt: skip
        assert said in text, said
    assert "nan" not in text.lower() and "None" not in text


def test_a_model_without_a_log_or_a_corpus_has_a_page():
    bare = result()
    bare["suites"]["quality"] |= {
        "held_out_texts": [],
        "repetition": {"loops": {"samples": 0.5, "samples_standard_error": None}},
    }
    bare["suites"]["long_range"] = {"left_out": "no corpus", "left_out_copying": "too short"}
    page = Page(to_html(bare, CONFIG, [], CONFIG))
    assert "no corpus" in page.text and "too short" in page.text and "50.00 %" in page.text
    assert "Training" not in page.text and "Held-out text" not in page.text
    only = Page(to_html({"run": "r", "step": 0, "suites": {"loss": {"loss": 2.0}}}, CONFIG, [], CONFIG))
    assert "Suite loss" in only.text and "Samples" not in only.text


def test_a_long_log_is_thinned_out_and_ends_where_it_ends():
    lines = [{"step": step, "loss": 1.0 / step} for step in range(1, 5 * POINTS)]
    (series,) = curves(lines, {"loss": "training", "gradient_norm": "never logged"})
    assert POINTS / 2 < len(series.values) <= POINTS + 1
    assert (series.places[0], series.places[-1]) == (1, 5 * POINTS - 1)
    assert all(value == 1.0 / step for step, value in zip(series.places, series.values, strict=True))
    assert "not logged" in to_html({"run": "r", "step": 0, "suites": {}}, CONFIG, lines, CONFIG)


def test_training_health_by_hand():
    found = summary(LOG, CONFIG)
    assert found == {
        "steps": 1000,
        "loss": pytest.approx(3 - 0.01 * 95.5),  # of steps 91 to 100
        "validation_loss": 2.5,
        "generalization_gap": 0.25,
        "gradient_norm": pytest.approx(1.5 - 0.955),
        "update_ratio": 1e-3,
        "clipped_steps": pytest.approx(0.49),  # 1.49 to 1.01
    }
    assert summary([], CONFIG) == {} and summary([{"step": 3, "validation_loss": 1.0}], CONFIG) == {}
    assert summary([{"step": 1, "loss": None, "gradient_norm": None}, {"step": 2, "loss": 1.0}], CONFIG) == {
        "steps": 2, "loss": 1.0,
    }  # fmt: skip
