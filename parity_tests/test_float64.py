"""In float64 the two packages are the same function, stage by stage, for every kind of model and both regimes."""

from __future__ import annotations

import pytest

from jaxdec.parity.comparison import require
from parity_tests import jax_side, torch_side
from parity_tests.cases import CASES, GENERIC, Case
from parity_tests.checks import SEMANTIC_STAGES

ONCE = {  # stages that one regime, or one case, can show
    "init": [case for case in CASES if case.regime == "init"],
    "accumulation": [case for case in CASES if case.regime == "generic"],
    "dropout": [case for case in CASES if case.regime == "generic" and hasattr(case.config.model, "dropout")],
    "schedule": [GENERIC],
    "greedy": [case for case in CASES if case.regime == "generic"],
    "sampling": [GENERIC],
}


@pytest.mark.parametrize(
    ("stage", "case"),
    [pytest.param(stage, case, id=f"{stage}-{case}") for stage in SEMANTIC_STAGES for case in ONCE.get(stage, CASES)],
)
def test_the_twins_agree(stage: str, case: Case) -> None:
    require(SEMANTIC_STAGES[stage](case, jax_side, torch_side))


def test_every_module_with_parameters_is_compared() -> None:
    """All modules are tapped but the three projections that the JAX side runs as one product."""
    ours, theirs = jax_side.forward(GENERIC), torch_side.forward(GENERIC)
    fused = {f"blocks.{layer}.attention.{part}" for layer in range(2) for part in ("query", "key", "value")}
    owners = {name.rpartition(".")[0] for name in jax_side.weights(GENERIC)}
    assert owners - set(ours) == fused
    assert owners <= set(theirs)
    assert {"blocks.0", "blocks.1", "blocks.0.attention", "blocks.0.mlp", "logits"} <= set(ours) & set(theirs)
