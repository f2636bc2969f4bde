"""Figures over samples and their standard errors."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jaxdec.evaluation.quality.estimate import Estimate, jackknife, mean, ratio

NUMBERS = st.lists(st.floats(-100, 100), min_size=2, max_size=20)


@given(NUMBERS)
def test_the_error_of_a_mean_is_the_usual_one(values: list[float]):
    found = mean(values)
    assert found is not None
    assert found.value == pytest.approx(np.mean(values), abs=1e-9)
    assert found.error == pytest.approx(np.std(values, ddof=1) / len(values) ** 0.5, abs=1e-6)


def test_a_ratio_by_hand():
    """Without the first pair 5/4, without the second 3/2: (1/2 * 2 * (1/8)^2)^0.5."""
    assert ratio([3, 5], [2, 4]) == Estimate(8 / 6, pytest.approx(1 / 8))


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), max_size=12))
def test_pieces_without_a_case_say_nothing(pairs: list[tuple[int, int]]):
    hits, cases = [part for part, _ in pairs], [whole for _, whole in pairs]
    counted = [pair for pair in pairs if pair[1]]
    found = ratio(hits, cases)
    assert found == ratio([part for part, _ in counted], [whole for _, whole in counted])
    if not counted:
        assert found is None
    elif len(counted) == 1:
        assert found is not None and found.error is None


@given(NUMBERS, st.floats(0.1, 9))
def test_errors_scale_and_do_not_depend_on_the_order(values: list[float], factor: float):
    whole, scaled = mean(values), mean([factor * value for value in reversed(values)])
    assert whole is not None and scaled is not None
    assert scaled.error == pytest.approx(factor * (whole.error or 0), abs=1e-6)


def test_one_sample_has_no_error():
    assert jackknife(2.0, []) == Estimate(2.0, None)
