"""Splits of records into training, validation and test, by a seed or by their order."""

from __future__ import annotations

from collections.abc import Sequence

from jaxdec.data.files import sha256
from jaxdec.errors import UserError

Splits = tuple[list[int], list[int], list[int]]  # indices of training, validation and test


def split(
    keys: Sequence[str], *, validation: float, test: float, seed: int | None, corpus: str, what: str = "records"
) -> Splits:
    """Indices of three splits, which hold these shares of the different keys.

    Records with one key fall into one split, so that nothing is tested that was trained on. With a seed, a hash of seed
    and key orders them; without one, the first stand for training, the next for test, the last for validation. Raises
    UserError where training, or a split that is asked for, would be empty.
    """
    places: dict[str, list[int]] = {}
    for index, key in enumerate(keys):
        places.setdefault(key, []).append(index)
    groups = list(places.values())
    if seed is not None:
        groups = [places[key] for key in sorted(places, key=lambda key: sha256(f"{seed} {key}".encode()))]
    for_test, for_validation = (max(1, round(share * len(groups))) if share else 0 for share in (test, validation))
    for_training = len(groups) - for_test - for_validation
    if for_training < 1:
        raise UserError(
            f"{corpus} has {len(groups)} different {what}, too few for {for_validation} of validation, {for_test} of "
            "test and one to train on: give more, or smaller fractions"
        )
    cuts = (groups[:for_training], groups[for_training + for_test :], groups[for_training : for_training + for_test])
    training, validating, testing = (sorted(index for group in cut for index in group) for cut in cuts)
    return training, validating, testing
