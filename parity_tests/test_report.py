"""Reports: nothing is lost on the way to JSON and back, and what people see says what was measured."""

from __future__ import annotations

import dataclasses
import json
import math
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.console import Console

from jaxdec.errors import UserError
from jaxdec.parity.compare.comparison import Comparison
from jaxdec.parity.report import terminal as report_terminal
from jaxdec.parity.report.environment import environment
from jaxdec.parity.report.html import ROWS, to_html, write_html
from jaxdec.parity.report.report import (
    Finding,
    Hint,
    Report,
    decades,
    figure,
    from_json,
    groups,
    headroom,
    summary,
    to_json,
)
from jaxdec.runs.charts import Series, chart
from tests.reports import STEPS, failing, passing

TEXT = st.text(st.characters(codec="utf-8"), max_size=20)
NUMBER = st.floats()
COMPARISON = st.builds(Comparison, TEXT, TEXT, NUMBER, NUMBER, TEXT, TEXT, TEXT)
REPORT = st.builds(
    Report,
    TEXT,
    st.lists(COMPARISON, max_size=6).map(tuple),
    st.lists(st.builds(Finding, limit=NUMBER, measured=NUMBER, where=TEXT, text=TEXT), max_size=2).map(tuple),
    st.lists(st.builds(Hint, TEXT, TEXT, NUMBER, TEXT), max_size=2).map(tuple),
    st.lists(TEXT, max_size=2).map(tuple),
    st.dictionaries(
        st.sampled_from(["candidate loss", "reference loss", "loss difference"]), st.lists(NUMBER, max_size=5)
    ),
    st.dictionaries(TEXT, TEXT, max_size=3),
    st.floats(0, 1e6),
)


@given(report=REPORT)
def test_a_report_comes_back_from_json(report: Report) -> None:
    text = to_json(report)
    # repr: NaN is not equal to itself
    assert repr(from_json(text)) == repr(report)
    json.loads(text, parse_constant=lambda name: pytest.fail(f"{name} is not JSON"))
    json.dumps(summary(report), allow_nan=False)


def test_numbers_of_numpy_become_json() -> None:
    report = Report(
        "a", (Comparison("s", "n", np.float64(0.5), np.float32(1)),), curves={"loss difference": np.ones(2)}
    )  # type: ignore[arg-type]
    again = from_json(to_json(report))
    assert again.comparisons[0].measured == 0.5 and again.curves == {"loss difference": [1.0, 1.0]}


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "JSONDecodeError"),
        ("[]", "TypeError"),
        ('{"format": 2}', "KeyError: 'pair'"),
        (to_json(passing()).replace('"format": 2', '"format": 7'), "format 7, this version reads 2"),
        (to_json(passing()).replace('"measured"', '"length"', 1), "TypeError"),
    ],
)
def test_what_is_no_report_is_refused_in_one_line(text: str, says: str) -> None:
    with pytest.raises(UserError, match=re.escape(says)) as refused:
        from_json(text, "a.json")
    assert str(refused.value).startswith("a.json")


def test_a_report_of_nothing_is_not_equal() -> None:
    assert not Report("empty", ()).equal
    assert passing().equal and not failing().equal


@given(measured=NUMBER.filter(lambda x: not x < 0), limit=st.floats(0, allow_infinity=False))
def test_headroom_is_negative_just_where_the_bar_is_passed(measured: float, limit: float) -> None:
    room = headroom(Comparison("s", "n", measured, limit))
    assert not math.isnan(room)
    if abs(room) > 1e-9:  # two logarithms round
        assert (room > 0) == (measured <= limit)


def test_headroom_counts_decades() -> None:
    assert headroom(Comparison("s", "n", 1e-14, 1e-11)) == pytest.approx(3)
    assert decades(headroom(Comparison("s", "n", 0.0, 0.0))) == "exact"
    assert decades(headroom(Comparison("s", "n", 1.0, 0.0))) == "-inf"


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (3.2e-4, "3.2e-04"),
        (2.118, "2.12"),
        (0.0, "0"),
        (1e-11, "1e-11"),
        (4.0, "4"),
        (1234.0, "1234"),
        (math.nan, "nan"),
    ],
)
def test_figures_are_short(value: float, shown: str) -> None:
    assert figure(value) == shown


def test_groups_keep_the_order_and_find_the_worst() -> None:
    found = groups(failing().comparisons)
    assert [group.setting for group in found[::4]][:2] == ["float64, init weights", "float64, generic weights"]
    (gradients,) = [
        group for group in found if group.stage == "gradients" and group.setting == "float64, generic weights"
    ]
    assert gradients.worst.measured == math.inf and not gradients.equal
    assert sum(len(group.comparisons) for group in found) == len(failing().comparisons)


class Page(HTMLParser):
    """Every element with its attributes; `open_` holds those not closed."""

    VOID = ("meta", "path", "line", "circle", "br")

    def __init__(self, html: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, Any]]] = []
        self.open_: list[str] = []
        self.text = ""
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        self.elements.append((tag, dict(attrs)))
        self.open_.append(tag)
        if tag in ("meta", "br"):
            self.open_.pop()

    def handle_startendtag(self, tag: str, attrs: Any) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open_.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data

    def all(self, tag: str, **attributes: str) -> list[dict[str, Any]]:
        return [had for name, had in self.elements if name == tag and attributes.items() <= had.items()]


@pytest.mark.parametrize("report", [passing(), failing()], ids=["passing", "failing"])
def test_the_page_holds_every_comparison_and_needs_nothing_else(report: Report) -> None:
    html = to_html(report)
    page = Page(html)
    assert page.open_ == []
    for comparison in report.comparisons:
        assert comparison.name in page.text
    for value in (*report.notes, *report.environment.values(), report.pair):
        assert value in page.text
    assert not page.all("script") and not page.all("link") and not page.all("img")
    assert "http" not in html and "url(" not in html and "@import" not in html
    anchors = {f"#{had['id']}" for had in page.all("details") if "id" in had}
    assert {had["href"] for had in page.all("a")} == anchors
    assert len(page.all("figure")) == 5  # depth in three precisions, losses, their difference


def test_the_page_marks_what_fails() -> None:
    report = failing()
    page = Page(to_html(report))
    lines = groups(report.comparisons)
    failed = [group for group in lines if not group.equal]
    # A long table that fails shows its failures on top of the whole.
    twice = sum(min(len(group.over), ROWS) for group in failed if len(group.comparisons) > ROWS)
    assert twice
    assert len(page.all("tr", **{"class": "different"})) == len(failed) + len(report.over) + twice
    assert sum("open" in had for had in page.all("details")) == len(failed)
    assert page.all("header", **{"class": "different"}) and page.all("g", **{"class": "cross"})
    for text in ("erf GELU", "blocks.1.mlp", "semantic", "DIFFERENT", "<script>alert(1)</script>[bold]", "a & b"):
        assert text in page.text
    assert Page(to_html(passing())).all("header", **{"class": "equal"})
    assert not Page(to_html(passing())).all("tr", **{"class": "different"})


@settings(max_examples=25)
@given(report=REPORT)
def test_any_report_makes_a_sound_page(report: Report) -> None:
    assert Page(to_html(report)).open_ == []


def test_a_page_is_written_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_html(failing(), tmp_path / "a.html")
    assert (tmp_path / "a.html").read_text(encoding="utf-8") == to_html(failing())
    assert len(list(tmp_path.iterdir())) == 1


def heights(drawing: str, kind: str) -> list[float]:
    """Pixels from the top of all marks of a kind."""
    groups = re.findall(rf'<g class="{kind}">(.*?</g>)', drawing, re.DOTALL)
    return [float(y) for group in groups for y in re.findall(r'<use [^>]*y="([^"]+)"', group)]


@settings(max_examples=40)
@given(
    values=st.lists(st.none() | st.floats(), min_size=1, max_size=8),
    log=st.booleans(),
    tolerance=st.none() | st.floats(1e-30, 1e3),
)
def test_every_point_lies_on_the_picture(values: list[float | None], log: bool, tolerance: float | None) -> None:
    drawing = chart("a", [Series("one", values)], log=log, labels=[(0, "0")], limit=tolerance)
    given = [value for value in values if value is not None]
    if not drawing:
        assert not given
        return
    width, height = map(float, re.findall(r'viewBox="0 0 (\S+) (\S+)"', drawing)[0])
    for name, number in re.findall(r' (x|y)="([^"]+)"', re.sub("<text.*?</text>", "", drawing, flags=re.DOTALL)):
        assert 0 <= float(number) <= (width if name == "x" else height)
    zeros = sum(log and value <= 0 for value in given if math.isfinite(value))
    crosses = sum(not math.isfinite(value) for value in given)
    assert len(heights(drawing, "zero")) == zeros and len(heights(drawing, "cross")) == crosses
    assert len(heights(drawing, "point")) == len(given) - zeros - crosses


def test_points_stand_above_the_tolerance_just_when_they_are_over_it() -> None:
    values = [1e-15, 3e-12, 2e-11, 0.5]
    over = [value > 1e-11 for value in values]
    drawing = chart("a", [Series("one", values, over=over)], log=True, labels=[], limit=1e-11)
    (line,) = re.findall(r'd="M \S+ (\S+) \nL \S+ \1 \n"[^>]*stroke: var\(--bad\)', drawing)
    assert all(y > float(line) for y in heights(drawing, "point"))
    assert all(y < float(line) for y in heights(drawing, "over"))
    assert len(heights(drawing, "point")) == len(heights(drawing, "over")) == 2
    grid = [float(y) for y in re.findall(r'd="M \S+ (\S+) \nL \S+ \1 \n"[^>]*stroke: var\(--grid\)', drawing)]
    # A logarithmic axis: every decade has the same height.
    assert np.allclose(np.diff(grid[:-1]), grid[1] - grid[0], atol=0.02)


def test_a_drawing_is_part_of_a_page_of_any_colour_and_always_the_same() -> None:
    given = [Series("<one>", [1.0, 2.0, math.nan], ["a & b", "c", "d"]), Series("two", [0.0])]
    drawing = chart("title <b>", given, log=True, limit=0.5)
    assert drawing == chart("title <b>", given, log=True, limit=0.5)
    assert not re.search('#[0-9a-f]{6}[;"]', drawing), "a colour that a dark page cannot change"
    assert "<title>a &amp; b</title>" in drawing and 'aria-label="title &lt;b&gt;"' in drawing
    assert Page(drawing).open_ == [] and "&lt;one&gt;" in drawing
    assert chart("a", [Series("one", [None])], log=True) == "" == chart("a", [], log=False)


def shown(report: Report, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> list[str]:
    monkeypatch.setattr(report_terminal, "_console", lambda: Console(highlight=False, soft_wrap=True, width=80))
    report_terminal.show(report, {"HTML": "a.html"})
    return capsys.readouterr().out.splitlines()


def test_the_terminal_is_legible_in_80_columns_without_colour(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for report in (passing(), failing()):
        lines = shown(report, monkeypatch, capsys)
        assert max(map(len, lines)) <= 80
        assert not any("\x1b" in line for line in lines)
        rows = [line for line in lines if re.search(r" (equal|DIFFERS)$", line)]
        assert len(rows) == len(groups(report.comparisons))
        assert sum(line.endswith("DIFFERS") for line in rows) == sum(
            not each.equal for each in groups(report.comparisons)
        )
        assert lines[-1].split() == ["HTML", "a.html"]


def test_the_terminal_says_what_is_first_and_what_is_worst(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    page = "\n".join(shown(failing(), monkeypatch, capsys))
    assert re.search(
        r"over the tolerance: float64, init weights\n  taps: 17 of 31\n"
        r"    first  blocks.1.mlp +3.2e-04  tolerance 1e-11",
        page,
    )
    assert "blocks.1.mlp: semantic, forward, 3.2e-04 (tolerance 1e-11): its own code" in page
    assert "matches at 2e-15 with erf GELU" in page
    assert f"DIFFERENT  mine <b>: {len(failing().over)} of" in page
    assert "[bold]" in page  # a name is no markup
    good = "\n".join(shown(passing(), monkeypatch, capsys))
    assert "EQUAL  char-gpt: 347 comparisons, least headroom +" in good
    assert "findings" not in good and "null directions" in good


@given(name=TEXT, width=st.integers(12, 60))
def test_short_names_fit(name: str, width: int) -> None:
    assert len(report_terminal.shorten(name, width)) <= width


def test_a_difference_that_nothing_explains_is_not_silent(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    page = "\n".join(shown(dataclasses.replace(failing(), findings=(), hints=()), monkeypatch, capsys))
    assert "nothing was named" in page
    assert "proves nothing" in "\n".join(shown(Report("empty", ()), monkeypatch, capsys))


def test_the_environment_names_versions_and_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    import jax

    monkeypatch.setenv("CUBLAS_WORKSPACE_CONFIG", ":16:8")
    found = environment()
    assert found["jax"] == jax.__version__ and found["CUBLAS_WORKSPACE_CONFIG"] == ":16:8"
    assert found["jax x64"] == "on" and found["jax matmul precision"] == "highest"
    with jax.enable_x64(False):
        assert environment()["jax x64"] == "off"
    assert found["torch threads"] == "1"  # as these tests set it
    assert all(isinstance(value, str) and value for value in found.values())


def test_steps_of_the_sample() -> None:
    assert len(passing().curves["loss difference"]) == STEPS
