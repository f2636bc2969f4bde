"""The example of docs/parity_rules.md carries transformers' GPT-2 into our decoder, each side dumped by itself."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch
from transformers import GPT2Config, GPT2LMHeadModel

from jaxdec.config.model import DecoderConfig
from jaxdec.config.parts import MLP
from jaxdec.config.run import Precision
from jaxdec.models.functional import Model
from jaxdec.parity.adapters.float64 import everything_in_float64
from jaxdec.parity.compare.compare import compare_dumps
from jaxdec.parity.compare.comparison import Comparison
from jaxdec.parity.compare.dump import Recording, dump, read_dump
from jaxdec.weights.rules import WeightPlan, WeightRules

DOCUMENT = Path(__file__).parents[1] / "docs" / "parity_rules.md"
RULES = re.findall(r"^```\n(.*?)^```", DOCUMENT.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)[0]
TOKENS = np.random.default_rng(0).integers(0, 11, (2, 5))
BATCHES = [{"tokens": TOKENS}]
OURS = DecoderConfig(layers=2, heads=2, width=8, context=6, vocab_size=11)
THEIRS = GPT2Config(n_layer=2, n_head=2, n_embd=8, n_positions=6, vocab_size=11, bos_token_id=0, eos_token_id=0)


def decoder(**changes: Any) -> Model:
    return Model(replace(OURS, **changes), Precision("float64", "float64"))


def gpt2() -> GPT2LMHeadModel:
    torch.manual_seed(0)
    model = GPT2LMHeadModel(THEIRS).eval()
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.5)
    return model


def plan_of(model: GPT2LMHeadModel, rules: str = RULES) -> WeightPlan:
    conv1d = dict.fromkeys((name for name, _ in model.named_parameters() if ".c_" in name), "in_out")
    return WeightRules.parse(rules).plan(decoder().shapes(), dict(model.named_parameters()), conv1d)  # type: ignore[arg-type]


def dump_reference(folder: Path, rules: str = RULES) -> Path:
    """What a machine with PyTorch alone does: the loss is the mean of all logits."""
    with everything_in_float64():
        model = gpt2().double()
        logits = model(torch.from_numpy(TOKENS)).logits
        logits.mean().backward()
    plan, parameters = plan_of(model, rules), dict(model.named_parameters())
    stages = {
        "weights": plan.to_candidate({name: value.detach().numpy() for name, value in parameters.items()}),
        "logits": {"logits": logits.detach().numpy()},
        "gradients": plan.tangents_to_candidate({name: value.grad for name, value in parameters.items()}),
    }
    return dump(folder, Recording("reference", "gpt2", stages, BATCHES, rules=rules))


def dump_candidate(folder: Path, weights: dict[str, np.ndarray], model: Model) -> Path:
    """What a machine with JAX alone does, with the weights from the other's dump."""

    def mean(params: Any) -> tuple[jax.Array, jax.Array]:
        logits_BTV = model.apply(params, jnp.asarray(TOKENS)).logits_BTV
        return logits_BTV.mean(), logits_BTV

    params = {name: jnp.asarray(value) for name, value in weights.items()}
    gradients, logits = jax.grad(mean, has_aux=True)(params)
    stages = {"weights": weights, "logits": {"logits": logits}, "gradients": gradients}
    return dump(folder, Recording("candidate", "gpt2", stages, BATCHES, rules=RULES))


def compared(folder: Path, model: Model, rules: str = RULES) -> list[Comparison]:
    theirs = dump_reference(folder / "reference", rules)
    ours = dump_candidate(folder / "candidate", dict(read_dump(theirs).stages["weights"]), model)
    return compare_dumps(ours, theirs)


def test_the_documented_rules_are_a_bijection() -> None:
    model = gpt2()
    plan = plan_of(model)
    assert plan.problems == ()
    given = {name: value.detach().numpy() for name, value in model.named_parameters()}
    back = plan.to_reference(plan.to_candidate(given))
    assert set(back) == set(given) and all(np.array_equal(back[name], value) for name, value in given.items())


def test_the_documented_fault_is_reported_as_documented() -> None:
    twice = RULES.replace("attn.c_attn.weight : chunk(2,3,1)", "attn.c_attn.weight : chunk(1,3,1)")
    problems = plan_of(gpt2(), twice).problems
    assert [(problem.kind, problem.name) for problem in problems] == [
        (kind, f"transformer.h.{layer}.attn.c_attn.weight")
        for layer in (0, 1)
        for kind in ("unmapped", "doubly mapped")
    ]
    turned = RULES.replace("attn.c_proj.weight", "attn.c_proj.weight : T")
    assert {(problem.kind, problem.name) for problem in plan_of(gpt2(), turned).problems} == {
        ("square", f"blocks.{layer}.attention.out.kernel") for layer in (0, 1)
    }


def test_two_dumps_of_the_same_function_are_equal(tmp_path: Path) -> None:
    found = compared(tmp_path, decoder())
    assert [str(comparison) for comparison in found if not comparison.equal] == []
    assert {comparison.stage for comparison in found} == {"weights", "logits", "gradients"}
    assert max(comparison.measured for comparison in found) > 1e-17


@pytest.mark.parametrize("fault", ["erf", "swapped", "square"])
def test_a_fault_of_model_or_rules_shows_in_the_logits(fault: str, tmp_path: Path) -> None:
    model = decoder(mlp=MLP(activation="gelu")) if fault == "erf" else decoder()
    rules = RULES
    if fault == "swapped":  # a bijection none the less
        rules = RULES.replace("query", "?").replace("key", "query").replace("?", "key")
    elif fault == "square":
        rules = RULES.replace("attn.c_proj.weight", "attn.c_proj.weight : T")
    wrong = [comparison for comparison in compared(tmp_path, model, rules) if not comparison.equal]
    assert wrong[0].stage == "logits" and wrong[0].measured > 1e-6
