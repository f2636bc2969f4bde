"""The checks that the right twin passes catch every seeded bug, at the stage and in the place where it sits.

`pytest -s` prints the residual that gave each bug away.
"""

from __future__ import annotations

import pytest

from jaxdec.parity.comparison import Difference, require
from parity_tests import jax_side, torch_side
from parity_tests.cases import GENERIC
from parity_tests.checks import optimizer, semantic
from parity_tests.mutants import MUTANTS, Mutant
from parity_tests.mutants.training import adam


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_seeded_bug_is_caught(mutant: Mutant) -> None:
    with mutant.apply(), pytest.raises(Difference) as caught:
        semantic(mutant.case, jax_side, torch_side)
    first = caught.value.first
    print(f"{mutant.name}: {first}")
    assert (caught.value.stage, first.name[: len(mutant.first)]) == (mutant.stage, mutant.first)


def test_the_written_out_adam_is_right_before_it_is_changed() -> None:
    with adam():
        require(optimizer(GENERIC, jax_side, torch_side))
