"""Vocabularies that grow and contexts that stretch: what the new rows are, and what stays."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from jaxdec.config.model import DecoderConfig
from jaxdec.config.positions import LinearScaling, NoPosition, RoPE, YarnScaling
from jaxdec.errors import UserError
from jaxdec.weights.resize import with_context, with_positions, with_tokens

ROWS = np.arange(12, dtype=np.float32).reshape(4, 3) ** 2
CONFIG = DecoderConfig(layers=2, heads=2, width=16, context=8, vocab_size=11)


@pytest.mark.parametrize("axis", [0, 1])
def test_a_new_token_is_the_mean_of_the_known_ones(axis: int) -> None:
    array = ROWS if axis == 0 else ROWS.T
    grown = with_tokens(array, axis, 6, known=3, how="mean", std=0.02, seed=0)
    grown = grown if axis == 0 else grown.T
    assert grown.shape == (6, 3) and grown.dtype == np.float32
    np.testing.assert_array_equal(grown[:4], ROWS)  # the fourth is padding, and stays
    np.testing.assert_array_equal(grown[4:], np.stack([ROWS[:3].mean(0)] * 2))
    np.testing.assert_array_equal(with_tokens(ROWS, 0, 3, known=3, how="mean", std=0.02, seed=0), ROWS[:3])


def test_a_drawn_token_follows_from_the_seed() -> None:
    one, same, other = (with_tokens(ROWS, 0, 2000, known=4, how="normal", std=0.5, seed=seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(one, same)
    assert not np.array_equal(one, other) and one[4:].std() == pytest.approx(0.5, rel=0.05)
    with pytest.raises(UserError, match="'mean' or 'normal', not 'zero'"):
        with_tokens(ROWS, 0, 9, known=4, how="zero", std=0.5, seed=0)  # type: ignore[arg-type]


def test_positions_are_cut_or_interpolated_between_the_first_and_the_last() -> None:
    np.testing.assert_array_equal(with_positions(ROWS, 2), ROWS[:2])
    stretched = with_positions(ROWS, 7)
    np.testing.assert_allclose(stretched[::2], ROWS)
    np.testing.assert_allclose(stretched[1::2], (ROWS[:-1] + ROWS[1:]) / 2)
    np.testing.assert_allclose(with_positions(ROWS[:1], 3), ROWS[[0, 0, 0]])
    exact = np.linspace([0.0, 5.0], [1.0, -5.0], 9)
    np.testing.assert_allclose(with_positions(exact, 33), np.linspace([0.0, 5.0], [1.0, -5.0], 33), atol=1e-15)


def test_rotary_positions_are_divided_by_the_factor() -> None:
    rotary = replace(CONFIG, position=RoPE(theta=500.0))
    stretched = with_context(rotary, 24)
    assert stretched.position == RoPE(theta=500.0, scaling=LinearScaling(3.0)) and stretched.context == 24
    assert with_context(stretched, 48).position == RoPE(theta=500.0, scaling=LinearScaling(6.0))
    assert with_context(rotary, 4) == replace(rotary, context=4)
    by_layer = replace(CONFIG, position=(RoPE(), NoPosition()))
    assert with_context(by_layer, 16).position == (RoPE(scaling=LinearScaling(2.0)), NoPosition())
    with pytest.raises(UserError, match="scaled already"):
        with_context(replace(CONFIG, position=RoPE(scaling=YarnScaling(8))), 16)
