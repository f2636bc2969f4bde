"""The seeded bugs of our own code: patches of `torchref`, of the weight rules and of the decoder's cache, by theme."""

from parity_tests.mutants import (
    classify,
    decoding,
    documents,
    encoder_decoder,
    generation,
    harmless,
    layers,
    losses,
    moe,
    moe_losses,
    parallel,
    parts,
    preference,
    rotary,
    training,
    transfer,
    values,
)
from parity_tests.mutants.registry import EQUIVALENT, MUTANTS

__all__ = [
    "EQUIVALENT",
    "MUTANTS",
    "classify",
    "decoding",
    "documents",
    "encoder_decoder",
    "generation",
    "harmless",
    "layers",
    "losses",
    "moe",
    "moe_losses",
    "parallel",
    "parts",
    "preference",
    "rotary",
    "training",
    "transfer",
    "values",
]
