"""All seeded bugs of our own pairs, and those that any pair can have."""

from jaxdec.parity.certificate.registry import EQUIVALENT, MUTANTS, Mutant, Patch
from parity_tests.mutants import (
    decoding,
    encoder_decoder,
    generation,
    harmless,
    layers,
    losses,
    moe,
    moe_losses,
    parts,
    rotary,
    training,
    transfer,
    values,
)

__all__ = [
    "EQUIVALENT",
    "MUTANTS",
    "Mutant",
    "Patch",
    "decoding",
    "encoder_decoder",
    "generation",
    "harmless",
    "layers",
    "losses",
    "moe",
    "moe_losses",
    "parts",
    "rotary",
    "training",
    "transfer",
    "values",
]
