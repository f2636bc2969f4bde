"""Both packages' encoder-decoders write the same targets; what they compute is compared in `test_float64`."""

from __future__ import annotations

from typing import Any
from unittest.mock import patch

import numpy as np
import pytest
import torch

from jaxdec.generation.beam import Beam
from jaxdec.generation.translation import translate
from jaxdec.parity.setting import Setting
from jaxdec.parity.sides.candidate_side import native
from parity_tests.twins import GENERIC, INIT, NORM_BEFORE, halves, run, sides
from torchref.generation.beam import beam_search

BOUNDARY = 0
CASES = [(name, at) for name in ("translation", NORM_BEFORE) for at in (INIT, GENERIC)]
BEAMS = [Beam(1, 0.0), Beam(4, 0.6), Beam(4, 0.0)]


def targets(name: str, at: Setting, beam: Beam) -> tuple[list[Any], list[Any]]:
    """The targets of four sources by both sides: tokens without the end, and log-probabilities."""
    batch = sides(name).pair.draw(0, 1)[0]
    sources = [row[mask > 0][:-1] for row, mask in zip(batch["source"], batch["source_mask"], strict=True)]
    model = halves(name)[0].model("float64")
    with native("float64"):
        params = sides(name).candidate.params(at)
        ours = translate(model, params, sources, beam, boundary=BOUNDARY, vocab_size=run(name).vocab_size)
    twin, length = sides(name).reference.build(at), run(name).model.context
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
@pytest.mark.parametrize(("name", "at"), CASES, ids=[f"{name}-{at.weight_init}" for name, at in CASES])
def test_both_write_the_same_targets(name: str, at: Setting, beam: Beam) -> None:
    ours, theirs = targets(name, at, beam)
    assert [tokens for tokens, _ in ours] == [tokens for tokens, _ in theirs]
    assert [log_p for _, log_p in ours] == pytest.approx([log_p for _, log_p in theirs], rel=1e-11)


def test_a_beam_that_prefers_short_targets_is_caught() -> None:
    beam = Beam(4, 2.0)
    ours, theirs = zip(*(targets(*case, beam) for case in CASES), strict=True)
    assert [[tokens for tokens, _ in rows] for rows in ours] == [[tokens for tokens, _ in rows] for rows in theirs]
    with patch("torchref.generation.beam.Hypothesis.score", lambda self, length_penalty: self.log_p):
        changed = [targets(*case, beam)[1] for case in CASES]
    assert changed != list(theirs)
