"""Lines of letters with a mark and an answer: right, described by their entropy, split as their text is."""

from __future__ import annotations

import pytest

from jaxdec.data.corpora import letters, reversal
from jaxdec.data.corpora.registry import load_corpus


@pytest.mark.parametrize(("task", "right"), [("reverse", "cba"), ("sort", "abc")])
def test_every_answer_is_right_and_is_marked(task: str, right: str) -> None:
    corpus = load_corpus(task)
    lines = corpus.text.splitlines()
    assert len(lines) == reversal.PAIRS and right == reversal.TASKS[task]("abc")
    for line in lines[:300]:
        source, answer = line.split(letters.MARK)
        assert answer == reversal.TASKS[task](source)
    text = corpus.text[:400]
    marked = "".join(c if certain else " " for c, certain in zip(text, letters.answers(text), strict=True))
    assert marked.split() == [line.split(letters.MARK)[1] for line in text.splitlines()][: len(marked.split())]


def test_no_problem_to_be_judged_by_stands_in_the_text_that_is_trained_on() -> None:
    corpus = load_corpus("reverse")
    assert corpus.problems is not None
    train, validation = corpus.problems().split(0.1)
    assert len(train) + len(validation) == reversal.PAIRS and not {*train} & {*validation}
    cut = int(0.9 * len(corpus.text))
    assert sum(map(len, (part for problem in train for part in problem))) + len(train) - cut in range(1, 30)
    assert "".join(validation[0]) not in corpus.text[:cut]


def test_all_sums_are_learned_and_judged() -> None:
    corpus = load_corpus("modular:5")
    assert corpus.problems is not None
    train, validation = corpus.problems().split(0.1)
    assert train == validation and len(train) == 25
    assert all((int(p.prompt[0]) + int(p.prompt[2])) % 5 == int(p.answer) for p in train)
