"""Lines of a grammar: those of its texts, and no others."""

from __future__ import annotations

import pytest

from jaxdec.data.corpora.grammar import read_grammar
from jaxdec.data.corpora.lines import line_parser
from jaxdec.data.corpora.playlets import grammar, sample_text

SMALL = """
[list person: name]
Ada
Bo
Cy
[list number: name]
1
2
[rule play]
1 <title> / {s:person.name} meets {h:person-s.name}. / {s~h}<talk>
[rule title]
1 The {k:number.name}
[rule talk]
2 {s.name} has {k.name}. {k+}Then {k.name}. / <talk>
1 {s.name}: {h.name}, <farewell> / /
[rule farewell]
1 good night.
"""


def test_every_line_of_a_play_parses():
    parses = line_parser(grammar())
    lines = sample_text(12, seed=3).split("\n")
    assert len(lines) > 60 and all(map(parses, lines))


@pytest.mark.parametrize(
    ("line", "is_one"),
    [
        ("The 2", True),
        ("The 3", False),
        ("Ada meets Bo.", True),
        ("Ada meets Ada.", False),  # both are drawn on this line, one without the other
        ("Ada meets Bo", False),
        ("Bo has 1. Then 2.", True),
        ("Bo has 1. Then 1.", False),  # the next number, as far as the line itself says which
        ("Bo: Ada, good night.", True),
        ("good night.", False),  # a part of a line
        ("Ada meets Bo. ", False),
        ("", True),
    ],
)
def test_lines_of_a_small_grammar(line: str, is_one: bool):
    assert line_parser(read_grammar(SMALL, "small"))(line) is is_one


def test_a_changed_line_does_not_parse():
    """One letter more or less: no line of the playlets survives it but by becoming another one."""
    parses = line_parser(grammar())
    lines = [line for line in sample_text(6, seed=4).split("\n") if line]
    assert not any(parses(line + "x") or parses(line[1:]) or parses(line[:5] + "x" + line[5:]) for line in lines)
