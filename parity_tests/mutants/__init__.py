"""All seeded bugs."""

from parity_tests.mutants import generation, layers, losses, moe, parts, training, values
from parity_tests.mutants.registry import MUTANTS, Mutant, Patch

__all__ = ["MUTANTS", "Mutant", "Patch", "generation", "layers", "losses", "moe", "parts", "training", "values"]
