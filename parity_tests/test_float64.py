"""In float64 the two packages are the same function, stage by stage, for every kind of model and of weights."""

from __future__ import annotations

import pytest

from jaxdec.models.ladder import LADDER
from jaxdec.parity.compare.comparison import require
from jaxdec.parity.pairs.pairs import pair_of, reduced
from jaxdec.parity.setting import Setting
from jaxdec.parity.sides.stages import Sides, stages_of
from parity_tests.twins import DENSE, DROPS, GENERIC, INIT, NORM_BEFORE, TWINS, run, sides

MIXED = ("gpt", "moe-gpt", DROPS, "translation")  # for stages that hang on the kind of model alone
ONCE = {  # stages that one kind of weights shows
    "weights": TWINS,
    "routing": [name for name in TWINS if run(name).routed],
    "accumulation": MIXED,
    "dropout": (*MIXED, "one block", "modern", "norms on both sides", NORM_BEFORE),
    "optimizer": (*MIXED, "bigram", "one block", "sinks", "clamped experts", NORM_BEFORE),
    "schedule": ["gpt"],
    "sampling": ["gpt"],
    "checkpoint": ["gpt"],
    "greedy": [name for name in TWINS if run(name).continues],
}
BOTH = ("taps", "logits", "loss", "gradients")
TRAINED = {name: (INIT, GENERIC) if name in (*MIXED, *DENSE) else (INIT,) for name in TWINS}

# Every model is compared by activations, logits, loss and gradients. What builds on these is run here where a model
# adds code of its own to it, and for the rest by `make test-long`: training where the loss, the router or the source
# add something, greedy decoding for each way of filling and reading a cache.
KINDS_OF_TRAINING = ("gpt", "moe-gpt", "translation")
HERE = {
    "dropout": ("gpt", DROPS, "one block", "norms on both sides", NORM_BEFORE),
    "accumulation": ("gpt", DROPS, "translation"),
    "greedy": ("gpt", "bigram", "local, rotary", "strided", "alibi", "sinks"),
}


def cases() -> list[tuple[str, str, Setting]]:
    """Model by model: the tests of one share its programs, and with them a worker."""
    found = []
    for name in TWINS:
        found += [(stage, name, GENERIC) for stage, names in ONCE.items() if name in names]
        found += [(stage, name, at) for stage in BOTH for at in (INIT, GENERIC)] + [("init", name, INIT)]
        found += [("trajectory", name, at) for at in TRAINED[name]]
    return found


def is_long(stage: str, name: str, at: Setting) -> bool:
    if stage == "trajectory":
        return name not in KINDS_OF_TRAINING or (at == GENERIC and name != "gpt")
    return name not in HERE.get(stage, (name,))


@pytest.mark.parametrize(
    ("stage", "name", "at"),
    [
        pytest.param(*case, id=f"{case[0]}-{case[1]}-{case[2].weight_init}", marks=[pytest.mark.long] * is_long(*case))
        for case in cases()
    ],
)
def test_the_twins_agree(stage: str, name: str, at: Setting) -> None:
    found = stages_of(sides(name).pair)[stage](sides(name), at)
    assert found, "nothing was compared"
    require(found)


@pytest.mark.parametrize("name", ["gpt", "translation, two layers"])
def test_every_module_with_parameters_is_compared(name: str) -> None:
    """All modules are tapped but the three projections that the JAX side runs as one product, and of a cross attention
    the two that read the memory."""
    ours, theirs = sides(name).candidate.forward(GENERIC).left, sides(name).reference.forward(GENERIC).left
    prefix = "blocks" if name == "gpt" else "decoder"
    fused = {f"{prefix}.{layer}.attention.{part}" for layer in range(2) for part in ("query", "key", "value")}
    owners = {parameter.rpartition(".")[0] for parameter in sides(name).candidate.candidate.shapes}
    assert owners - set(ours) == fused
    assert owners <= set(theirs)
    assert {f"{prefix}.0", f"{prefix}.0.attention", f"{prefix}.0.mlp"} <= set(ours) & set(theirs)


# A rung that is added to the ladder is compared without a word here; rungs that differ in size alone are one.
RUNGS = {repr(reduced(rung.config)): rung.name for rung in LADDER}


@pytest.mark.parametrize("name", RUNGS.values())
def test_every_rung_agrees(name: str) -> None:
    at_reduced_size = Sides(pair_of(name))
    for stage in ("weights", "taps", "logits"):
        require(stages_of(at_reduced_size.pair)[stage](at_reduced_size, GENERIC))
