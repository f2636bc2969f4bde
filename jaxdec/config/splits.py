"""The split of records into training, validation and test: the checks that stages share."""

from __future__ import annotations

from jaxdec.config.parts import require


def require_split(test_fraction: float, split_seed: int | None) -> None:
    """Raises UserError for a `stage.test_fraction` or `stage.split_seed` that makes no split."""
    require(0 <= test_fraction < 1, f"stage.test_fraction is {test_fraction}: give a number from 0 to below 1")
    require(
        split_seed is None or split_seed >= 0, f"stage.split_seed is {split_seed}: give a whole number from 0, or None"
    )
