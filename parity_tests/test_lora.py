"""Adapters in both packages: the same function, the same gradients of the adapters alone, the same training."""

from __future__ import annotations

import functools
from dataclasses import replace

import pytest
import torch

from jaxdec.config.parts import GatedMLP
from jaxdec.config.trainable import LoRA
from jaxdec.parity.adapters.reference import parameters_of
from jaxdec.parity.certificate.mutant import Mutant
from jaxdec.parity.certificate.trial import trial
from jaxdec.parity.compare.comparison import require
from jaxdec.parity.pairs.later import later_pair, lora_run
from jaxdec.parity.pairs.pairs import pair_of_run
from jaxdec.parity.pairs.run import TwinRun, twin_run
from jaxdec.parity.pairs.variants import DROPLESS, ROPE
from jaxdec.parity.setting import Setting
from jaxdec.parity.sides.stages import Sides, stages_of
from parity_tests.mutants import lora
from parity_tests.mutants.registry import LATER as BUGS
from torchref.training.loop import train_step
from torchref.training.state import begin

INIT, GENERIC = Setting("init"), Setting("generic")


@functools.cache
def sides() -> Sides:
    return Sides(later_pair("lora"))


@functools.cache
def experts() -> Sides:
    """Adapters beside the experts of a mixture, what they share, and grouped queries alone of attention."""
    model = replace(ROPE, layers=1, kv_heads=2, mlp=replace(DROPLESS, expert=GatedMLP(24), shared=GatedMLP(40)))
    lora = LoRA(rank=2, targets=("experts.*", "shared.up", "query"))
    return Sides(pair_of_run("lora beside experts", TwinRun(replace(twin_run(model).config, trainable=lora))))


@pytest.mark.parametrize(
    ("stage", "at"),
    [
        ("init", INIT),
        *((stage, GENERIC) for stage in ("taps", "gradients", "accumulation", "dropout")),
        ("trajectory", INIT),
        pytest.param("trajectory", GENERIC, marks=pytest.mark.long),
    ],
    ids=lambda value: getattr(value, "weight_init", value),
)
def test_both_sides_agree(stage: str, at: Setting) -> None:
    """Trajectory: 100 steps. Frozen parameters move by nothing at all on either side: against zeros anything else is
    infinitely far."""
    found = stages_of(sides().pair)[stage](sides(), at)
    assert found
    require(found)


@pytest.mark.parametrize("stage", ["taps", "gradients"])
def test_adapters_of_experts_agree(stage: str) -> None:
    found = stages_of(experts().pair)[stage](experts(), GENERIC)
    assert any("experts.gate_lora_b" in each.name for each in found) or stage == "taps"
    require(found)


def test_gradients_are_those_of_the_adapters_alone() -> None:
    for _, grads in (side.loss_and_gradients(GENERIC) for side in (sides().candidate, sides().reference)):
        assert {name for name, grad in grads.items() if grad.any()} == {name for name in grads if "lora_" in name}


def test_the_base_keeps_its_bits_in_the_twin() -> None:
    """As `tests/training/test_lora.py` finds it of `jaxdec`, weight decay included."""
    config = lora_run().config
    adapters = [name for name in begin(config).model.state_dict() if "lora_" in name]
    training = begin(config, adapters)
    before = {name: value.detach().clone() for name, value in parameters_of(training.model).items()}
    for step, batch in enumerate(sides().pair.draw(0, 3)):
        train_step(training.model.train(), training.optimizer, config, batch, step)
    changed = {name for name, value in parameters_of(training.model).items() if not torch.equal(value, before[name])}
    assert changed == set(adapters) and len(adapters) == 12


@pytest.mark.parametrize(
    "mutant", [mutant for mutant in BUGS if mutant.pair == lora.PAIR], ids=lambda mutant: mutant.name
)
def test_a_seeded_bug_is_caught_and_named(mutant: Mutant) -> None:
    done = trial(mutant, sides(), usual=False, stages=("taps", "gradients", "dropout"))
    assert done.caught and done.named == mutant.where, str(done)
