"""The encoder-decoder is the same function in both packages, in all precisions, and writes the same targets."""

from __future__ import annotations

from typing import Any
from unittest.mock import patch

import numpy as np
import pytest
import torch

from jaxdec.beam import Beam
from jaxdec.config import FloatType
from jaxdec.parity import bars
from jaxdec.parity.comparison import require
from jaxdec.translation import translate
from parity_tests import checks, jax_side, torch_side
from parity_tests.checks import SEMANTIC_STAGES
from parity_tests.pairs import (  # noqa: F401 - the fixture works by being imported
    BOUNDARY,
    CASES,
    GENERIC,
    INIT,
    OURS,
    PAPER,
    TWIN,
    TWIN_ONCE,
    TWO_LAYERS,
    PairCase,
    criterion_for_encoder_decoders,
    jax_forward,
    torch_forward,
)
from torchref.beam import beam_search

STAGES = {  # with the cases that show each; schedule and optimizer do not depend on the model
    "init": [case for case in CASES if case.regime == "init"],
    "activations": [*CASES, TWO_LAYERS],
    "gradients": CASES,
    "accumulation": [PAPER],
    "dropout": [PAPER],
    "trajectory": CASES,
}


@pytest.mark.parametrize(
    ("stage", "case"), [pytest.param(stage, case, id=f"{stage}-{case}") for stage in STAGES for case in STAGES[stage]]
)
def test_the_twins_agree(stage: str, case: PairCase) -> None:
    require(SEMANTIC_STAGES[stage](case, OURS, TWIN))


def test_every_module_with_parameters_is_compared() -> None:
    """All modules are tapped but the three projections that run as one product, and norms whose place is elsewhere."""
    ours, theirs = jax_forward(TWO_LAYERS), torch_forward(TWO_LAYERS)
    owners = {name.rpartition(".")[0] for name in jax_side.weights(TWO_LAYERS)}
    fused = {f"decoder.{layer}.attention.{part}" for layer in range(2) for part in ("query", "key", "value")}
    assert owners - set(ours) == fused
    assert owners <= set(theirs)


@pytest.mark.parametrize("case", CASES, ids=str)
@pytest.mark.parametrize("compute", ["float32", "bfloat16"])
def test_rounding(compute: FloatType, case: PairCase) -> None:
    bar = bars.FLOAT32_RATIO if compute == "float32" else bars.BFLOAT16_RATIO
    checks.rounding(case.at(compute), OURS, TWIN_ONCE, TWIN_ONCE, bar)


@pytest.mark.parametrize("case", [GENERIC[1], INIT], ids=str)
@pytest.mark.parametrize("compute", ["float32", "bfloat16"])
def test_training_in_low_precision(compute: FloatType, case: PairCase) -> None:
    limits = {
        "float32": (bars.FLOAT32_LOSS, bars.FLOAT32_UPDATE),
        "bfloat16": (bars.BFLOAT16_LOSS, bars.BFLOAT16_UPDATE),
    }
    checks.drift(case.at(compute), OURS, TWIN_ONCE, TWIN_ONCE, *limits[compute])


# Decoding

BEAMS = [Beam(1, 0.0), Beam(4, 0.6), Beam(4, 0.0)]


def targets(case: PairCase, beam: Beam) -> tuple[list[Any], list[Any]]:
    """The targets of four sources by both sides: tokens without the end, and log-probabilities."""
    batch = case.batches(1)[0]
    sources = [row[mask > 0][:-1] for row, mask in zip(batch["source"], batch["source_mask"], strict=True)]
    with jax_side.native(case):
        ours = translate(
            jax_side.model_of(case),
            jax_side.params_of(case),
            sources,
            beam,
            boundary=BOUNDARY,
            vocab_size=case.vocab_size,
        )
    twin = torch_side.build(case).eval()
    length = case.config.model.context
    theirs = [
        beam_search(
            twin,
            torch.from_numpy(np.append(source, np.int32(BOUNDARY))),
            boundary=BOUNDARY,
            length=length,
            width=beam.width,
            length_penalty=beam.length_penalty,
        )
        for source in sources
    ]
    return (
        [(found.tokens.tolist(), found.log_p) for found in ours],
        [([token for token in found.tokens if token != BOUNDARY], found.log_p) for found in theirs],
    )


@pytest.mark.parametrize("beam", BEAMS, ids=str)
@pytest.mark.parametrize("case", CASES, ids=str)
def test_both_write_the_same_targets(case: PairCase, beam: Beam) -> None:
    ours, theirs = targets(case, beam)
    assert [tokens for tokens, _ in ours] == [tokens for tokens, _ in theirs]
    assert [log_p for _, log_p in ours] == pytest.approx([log_p for _, log_p in theirs], rel=1e-11)


def test_a_beam_that_prefers_short_targets_is_caught() -> None:
    beam = Beam(4, 2.0)
    ours, theirs = zip(*(targets(case, beam) for case in CASES), strict=True)
    assert [[tokens for tokens, _ in rows] for rows in ours] == [[tokens for tokens, _ in rows] for rows in theirs]
    with patch("torchref.beam.Hypothesis.score", lambda self, length_penalty: self.log_p):
        changed = [targets(case, beam)[1] for case in CASES]
    assert changed != list(theirs)
