"""The reader of the grammar language: what each directive becomes, and the line that each mistake is reported with."""

from __future__ import annotations

import pytest

from jaxdec.data.corpora.grammar import Draw, Expand, Field, Next, Swap, Write, read_grammar
from jaxdec.errors import UserError

LISTS = "[list thing: name, many]\nox | oxen\negg | eggs\n[list day]\nMonday\n"


def test_every_directive():
    template = "A {x:thing.name} and {y:thing-x.many} {x~y}{y+}{y.Many}! / <end>"
    source = f"# a comment\n{LISTS}\n[rule play]\n3 {template}\n1 Nothing. / /\n[rule end]\n1 The end. /\n"
    play = read_grammar(source, "g").rules["play"]
    assert play.probabilities == (0.75, 0.25)
    assert play.alternatives == (
        (
            Write("A "),
            Draw("x", ("ox", "egg")),
            Write(" and "),
            Draw("y", ("oxen", "eggs"), ("x",)),
            Write(" "),
            Swap("x", "y"),
            Next("y", 2),
            Field("y", ("Oxen", "Eggs")),
            Write("!\n"),
            Expand("end"),
        ),
        (Write("Nothing.\n\n"),),
    )


@pytest.mark.parametrize(
    ("rules", "message"),
    [
        ("[rule play]\n1 <nothing>", "<nothing> names no rule"),
        ("[rule other]\n1 a", "no start rule"),
        ("[rule play]\n1 a\n[rule play]\n1 b", "g:8: there is a second rule 'play'"),
        ("[rule play]\n1 {x.name}", "g:7: 'x' is drawn from no list"),
        ("[rule play]\n1 {x:beast.name}", "g:7: 'x' is drawn from no list"),
        ("[rule play]\n1 {x:thing.colour}", "g:7: the list 'thing' has no field 'colour'"),
        ("[rule play]\n1 {x:thing.name}{x:day.name}", "g:7: 'x' is drawn from day here"),
        ("[rule play]\n1 {x:thing.name}{d:day.name}{x~d}", "g:7: 'x' and 'd' are of two lists"),
        ("[rule play]\n1 {x:thing.name}{d:day-x.name}", "must exclude variables of the list 'day'"),
        ("[rule play]\n1 {d:day.name}{e:day-d.name}", "and leave an entry"),
        ("[rule play]\n1 {x:thing.name", "'{' in '{x:thing.name' belongs to no directive"),
        ("[rule play]\n1 a > b", "'>' in 'a > b' belongs to no directive"),
        ("[rule play]\nno weight", "g:7: 'no weight' is neither"),
        ("[rule play]\n0 a", "g:7: the weight is 0"),
        ("[rule play]", "the rule 'play' has no alternatives"),
        ("[list pair: a, b]\nx | y\nx | z\n[rule play]\n1 {q:pair.a}", "writes the same for two entries"),
        ("[list pair: a, b]\nx", "g:7: write the fields a, b"),
        ("[list none]\n[rule play]\n1 a", "the list 'none' has no entries"),
    ],
)
def test_mistakes_are_named(rules, message):
    with pytest.raises(UserError) as caught:
        read_grammar(LISTS + rules + "\n", "g")
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)
