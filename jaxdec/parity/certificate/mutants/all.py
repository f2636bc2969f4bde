"""Every generic mutant that a pair can have."""

from __future__ import annotations

from collections.abc import Iterator

from jaxdec.errors import UserError
from jaxdec.parity.certificate.mutant import Mutant
from jaxdec.parity.certificate.mutants.anatomy import Anatomy
from jaxdec.parity.certificate.mutants.outputs import output_mutants
from jaxdec.parity.certificate.mutants.training import training_mutants
from jaxdec.parity.certificate.mutants.weights import null_biases, weight_mutants
from jaxdec.parity.setting import Setting
from jaxdec.parity.sides.stages import Sides


def generic_mutants(sides: Sides) -> list[Mutant]:
    """Bugs spread over the reference's modules, weights and training, and harmless changes, which have a reason.
    Those that the reference cannot be run with are left out."""
    return [mutant for mutant in candidates(Anatomy(sides)) if runs(mutant, sides)]


def candidates(anatomy: Anatomy) -> Iterator[Mutant]:
    yield from output_mutants(anatomy)
    yield from weight_mutants(anatomy)
    yield from training_mutants(anatomy)
    yield from null_biases(anatomy)


def runs(mutant: Mutant, sides: Sides) -> bool:
    at = Setting(mutant.weight_init)
    try:
        with mutant.apply(sides):
            sides.reference.forward(at)
            sides.reference.loss_and_gradients(at)
    except (RuntimeError, ValueError, IndexError, UserError):
        return False
    return True
