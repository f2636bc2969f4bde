"""Scores of responses, on worked examples."""

from __future__ import annotations

import math

import pytest

from jaxdec.evaluation.instructions.responses import summary
from jaxdec.evaluation.instructions.scores import scores


@pytest.mark.parametrize(
    ("reference", "response", "exact", "rouge", "f1"),
    [
        ("The cat sat.", " The cat sat.\n", 1, 1, 1),
        ("The cat sat.", "the cat sat", 0, 1, 1),
        ("one two three four", "one three five", 0, 4 / 7, 4 / 7),  # of 4 and of 3 words 2 are shared, in order
        ("one two", "two one", 0, 0.5, 1),  # order matters to ROUGE-L alone
        ("yes", "", 0, 0, 0),
    ],
)
def test_worked_examples(reference: str, response: str, exact: float, rouge: float, f1: float) -> None:
    found = scores(reference, response)
    assert found == pytest.approx({"exact_match": exact, "rouge_l": rouge, "token_f1": f1})


def test_the_perplexity_of_a_split_is_that_of_all_its_targets() -> None:
    parts = {"exact_match": 1.0, "rouge_l": 0.5, "token_f1": 0.0}
    records = [
        {**parts, "reference_perplexity": 2.0, "reference_targets": 3},
        {**parts, "reference_perplexity": 8.0, "reference_targets": 1},
    ]
    found = summary(records)
    assert found["rouge_l"] == 0.5
    assert found["reference_perplexity"] == pytest.approx(math.exp((3 * math.log(2) + math.log(8)) / 4))
