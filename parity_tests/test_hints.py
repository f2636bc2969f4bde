"""Every seam that can be found is planted, and must be named with a residual under the tolerance; equal pairs get no
hint.

Most plants are the seeded bugs of `parity_tests.mutants`; the others are here. Models have one layer, for speed.
"""
# ruff: noqa: E731 - a plant is one changed expression, which a lambda shows best

from __future__ import annotations

import functools
import importlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any
from unittest.mock import patch

import jax
import jax.numpy as jnp
import pytest
import torch
import torch.nn.functional as F

from jaxdec.config.parts import Full, Local
from jaxdec.config.positions import RoPE
from jaxdec.parity.certificate.mutant import Patch
from jaxdec.parity.compare import tolerances
from jaxdec.parity.hints.hints import hints
from jaxdec.parity.hints.seams import SEAMS
from jaxdec.parity.locate.bisect import bisect
from jaxdec.parity.pair import Pair
from jaxdec.parity.pairs.pairs import pair_of_model
from jaxdec.parity.report.report import Hint
from jaxdec.parity.setting import Setting
from jaxdec.parity.sides.stages import Sides, stages_of
from jaxdec.parity.sides.transfer import Transfer
from parity_tests.mutants import MUTANTS
from parity_tests.mutants.registry import together
from parity_tests.mutants.tiny import MODELS
from torchref.layers import embed, position
from torchref.layers.attention import attention
from torchref.models import decoder
from torchref.training import losses, optim

STEPS = 12
Plant = Callable[[Sides], Any]
ONE_LAYER: dict[str, Any] = {
    "gpt": replace(MODELS["gpt"], layers=1),
    "untied": replace(MODELS["gpt"], layers=1, tied_head=False),
    "linear scaling": replace(MODELS["linear scaling"], layers=1),
    "rotary": replace(MODELS["linear scaling"], layers=1, position=RoPE(theta=1e4)),
    "local": replace(MODELS["local"], layers=1, attention=Local(window=5)),
    "alibi": replace(MODELS["alibi"], layers=1, attention=Full(alibi=8.0)),
    "sinks": replace(MODELS["sinks"], layers=1, attention=Full(sink=-0.5)),
    "softcap": replace(MODELS["softcap"], layers=1),
    "norms on both sides": replace(MODELS["norms on both sides"], layers=1),
    "experts that drop": replace(MODELS["experts that drop"], layers=1),
}


@functools.cache
def sides_of(name: str) -> Sides:
    return Sides(pair_of_model(name, ONE_LAYER[name]), STEPS)


def found(sides: Sides, plant: Plant, stages: Sequence[str] = ("taps", "logits"), **at: Any) -> list[Hint]:
    """The hints of a check that ends at the first stage that fails."""
    setting, comparisons = Setting(**at), []
    with plant(sides):
        for name in stages:
            comparisons += stages_of(sides.pair)[name](sides, setting)
            if not all(comparison.equal for comparison in comparisons):
                break
        return hints(sides, comparisons, bisect(sides, comparisons, setting, in_time=False), setting)


def assert_named(given: list[Hint], seam: str, where: str = "") -> None:
    assert given, "no hint"
    assert given[0].seam == seam and given[0].where.startswith(where), given
    assert all(0 <= hint.residual <= tolerances.SEMANTIC.limit for hint in given), given


def every_other(names: Iterable[str]) -> list[Any]:
    """All of these, every second one for `make test-long`, which CI runs too."""
    return [pytest.param(name, marks=[pytest.mark.long] * (place % 2)) for place, name in enumerate(names)]


MODULES = {
    "square_kernel_not_transposed": ("gpt", "transpose", "blocks.0.attention.out"),
    "key_and_value_exchanged": ("gpt", "query and key", "blocks.0.attention"),
    "norm_scale_counted_from_one": ("gpt", "norm scale", "blocks.0.attention_norm"),
    "positions_from_one": ("gpt", "position shift", "position_embed"),
    "embedding_times_root_width": ("gpt", "embedding scale", "token_embed"),
    "norm_epsilon_of_flax": ("gpt", "norm epsilon", "blocks.0.attention_norm"),
    "norm_epsilon_outside_the_root": ("gpt", "epsilon place", "blocks.0.attention_norm"),
    "norm_with_unbiased_variance": ("gpt", "norm kind", "blocks.0.attention_norm"),
    "norm_without_mean": ("gpt", "norm kind", "blocks.0.attention_norm"),
    "final_norm_left_out": ("gpt", "norm kind", "final_norm"),
    "attention_sees_the_next_token": ("gpt", "causal mask", "blocks.0.attention"),
    "attention_not_scaled": ("gpt", "score scale", "blocks.0.attention"),
    "attention_scaled_by_the_width": ("gpt", "score scale", "blocks.0.attention"),
    "query_and_key_swapped": ("gpt", "query and key", "blocks.0.attention"),
    "heads_interleaved": ("gpt", "head split", "blocks.0.attention"),
    "biases_left_out": ("gpt", "bias", "blocks.0.attention"),
    "gelu_with_erf": ("gpt", "activation", "blocks.0.mlp"),
    "attention_and_mlp_in_parallel": ("gpt", "residual sum", "blocks.0"),
    "rotary_pairs_interleaved": ("linear scaling", "rotary layout", "blocks.0.attention"),
    "rotary_scaling_left_out": ("linear scaling", "rotary positions", "blocks.0.attention"),
    "queries_turned_one_position_ahead": ("linear scaling", "query and key positions", "blocks.0.attention"),
    "key_heads_tiled_instead_of_repeated": ("linear scaling", "grouped heads", "blocks.0.attention"),
    "gate_and_up_swapped": ("linear scaling", "gate and up", "blocks.0.mlp"),
    "gate_and_up_exchanged_by_the_rules": ("linear scaling", "gate and up", "blocks.0.mlp"),
    "gated_by_gelu": ("linear scaling", "activation", "blocks.0.mlp"),
    "rms_scale_from_zero": ("linear scaling", "norm scale", "blocks.0.attention_norm"),
    "window_one_too_wide": ("local", "window", "blocks.0.attention"),
    "alibi_slopes_from_head_zero": ("alibi", "ALiBi", "blocks.0.attention"),
    "sink_left_out": ("sinks", "attention sink", "blocks.0.attention"),
    "softcap_left_out": ("softcap", "soft cap", "blocks.0.attention"),
    "logit_softcap_left_out": ("softcap", "soft cap", "model"),
    "embeddings_not_scaled": ("norms on both sides", "embedding scale", "model"),
    "embeddings_scaled_by_a_rounded_root": ("norms on both sides", "embedding scale", "model"),
    "tied_head_scaled_as_the_embeddings": ("norms on both sides", "logit factor", "model"),
    "gates_normalised_over_the_chosen": ("experts that drop", "expert weights", "blocks.0.mlp"),
    "gate_and_up_exchanged": ("experts that drop", "gate and up", "blocks.0.mlp"),
}  # fmt: skip
SEEDED = {mutant.name: mutant for mutant in MUTANTS}


@pytest.mark.parametrize("name", every_other(sorted(MODULES, key=lambda name: MODULES[str(name)][0])))
def test_seam_inside_the_model_is_named(name: str) -> None:
    pair, seam, where = MODULES[name]
    assert_named(found(sides_of(pair), SEEDED[name].apply, weight_init=SEEDED[name].weight_init), seam, where)


TRAINING = {
    "biases_left_out_at_zero": ("gradients", "bias"),
    "mean_over_all_targets": ("loss", "loss mean"),
    "loss_mask_ignored": ("loss", "loss mean"),
    "targets_shifted_twice": ("loss", "target shift"),
    "mean_of_means": ("accumulation", "accumulation"),
    "clip_without_epsilon": ("optimizer", "clip epsilon"),
    "clip_each_tensor_alone": ("optimizer", "clip"),
    "not_clipped": ("optimizer", "clip"),
    "adam_epsilon_inside_the_root": ("optimizer", "Adam epsilon"),
    "adam_epsilon_before_bias_correction": ("optimizer", "Adam epsilon"),
    "adam_without_bias_correction": ("optimizer", "Adam correction"),
    "beta2_of_torch": ("optimizer", "Adam betas"),
    "decay_coupled_to_the_gradient": ("optimizer", "decay coupling"),
    "decay_not_scaled_by_the_schedule": ("optimizer", "decay size"),
    "norms_and_biases_decayed": ("optimizer", "decay set"),
    "embeddings_not_decayed": ("optimizer", "decay set"),
    "schedule_one_step_ahead": ("schedule", "schedule offset"),
    "rate_set_after_the_update": ("optimizer", "schedule offset"),
    "cosine_over_one_step_less": ("schedule", "schedule end"),
    "warmup_from_zero": ("schedule", "schedule end"),
    "cosine_down_to_zero": ("schedule", "schedule end"),
}  # fmt: skip


@pytest.mark.parametrize("name", every_other(TRAINING))
def test_seam_of_training_is_named(name: str) -> None:
    stage, seam = TRAINING[name]
    assert_named(found(sides_of("gpt"), SEEDED[name].apply, (stage,), weight_init=SEEDED[name].weight_init), seam)


def head_by_the_token_table(sides: Sides) -> Patch:
    tables: list[torch.Tensor] = []
    original = embed.Embed.forward

    def forward(self: Any, ids: torch.Tensor) -> torch.Tensor:
        tables.append(self.weight)
        return original(self, ids)

    tokens = lambda: next(table for table in reversed(tables) if len(table) == sides.pair.vocab_size)
    both = patch.object(decoder, "F", SimpleNamespace(linear=lambda x, weight: F.linear(x, tokens())))
    return together(patch.object(embed.Embed, "forward", forward), both)


def smoothed(logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    flat = F.cross_entropy(logits.flatten(0, 1), targets.flatten(), reduction="none", label_smoothing=0.1)
    return flat.view_as(targets)


def penalised(logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    plain = F.cross_entropy(logits.flatten(0, 1), targets.flatten(), reduction="none").view_as(targets)
    return plain + 1e-4 * logits.logsumexp(-1) ** 2


def decay_of_torch(model: Any, decay: float) -> Any:
    return [{**group, "weight_decay": 0.1 * group["weight_decay"]} for group in PLAIN_GROUPS(model, decay)]


PLAIN_GROUPS = optim.parameter_groups
OTHERS: dict[str, tuple[str, str, Plant, str]] = {
    "tied head": ("untied", "logits", head_by_the_token_table, "tied head"),
    "smoothing": ("gpt", "loss", lambda sides: patch.object(losses, "token_losses", smoothed), "label smoothing"),
    "z-loss": ("gpt", "loss", lambda sides: patch.object(losses, "token_losses", penalised), "z-loss"),
    "decay": ("gpt", "optimizer", lambda _: patch.object(optim, "parameter_groups", decay_of_torch), "decay size"),
    "a turn": ("alibi", "taps", lambda _: turned_in_the_twin(), "rotary positions"),
    "theta": ("rotary", "taps", lambda _: another_theta(), "rotary theta"),
}  # fmt: skip


def another_theta() -> Patch:
    original = position.rope_frequencies
    larger = lambda rope, channels: original(replace(rope, theta=5e5), channels)
    return patch.object(position, "rope_frequencies", larger)


def turned_in_the_twin() -> Patch:
    original, rope = attention.attend, RoPE(theta=5e5)
    turned = lambda q, k, v, **given: original(position.rotate(q, rope), position.rotate(k, rope), v, **given)
    return patch.object(attention, "attend", turned)


@pytest.mark.parametrize("name", every_other(OTHERS))
def test_other_seams_are_named(name: str) -> None:
    pair, stage, plant, seam = OTHERS[name]
    assert_named(found(sides_of(pair), plant, (stage,)), seam)


def test_hints_say_what_each_side_computes() -> None:
    (hint,) = found(sides_of("gpt"), SEEDED["norm_epsilon_of_flax"].apply, weight_init="init")
    assert "reference: epsilon 1e-06 (" in hint.text and "candidate: epsilon 1e-05 (" in hint.text
    assert hint.text.endswith("the same in 2 more places")  # all three norms of one layer
    (hint,) = found(sides_of("gpt"), SEEDED["gelu_with_erf"].apply, weight_init="init")
    assert "reference: exact GELU (" in hint.text and "candidate: GELU by tanh (" in hint.text


def test_an_equal_pair_and_an_unknown_difference_get_no_hint() -> None:
    assert not found(sides_of("gpt"), lambda _: nullcontext(), ("taps", "logits", "loss", "optimizer"))
    assert not found(sides_of("linear scaling"), SEEDED["rotary_angle_negative_for_one_half"].apply)


# A pair that is not ours: a function with taps at results alone, its projections fused


@pytest.fixture(scope="module")
def examples() -> Iterator[ModuleType]:
    folder = str(Path(__file__).parents[1] / "examples/parity")
    with pytest.MonkeyPatch.context() as patched, jax.numpy_rank_promotion("allow"):
        patched.syspath_prepend(folder)
        yield importlib.import_module("function_pair")


@pytest.fixture(scope="module")
def function_sides(examples: ModuleType) -> Sides:
    return Sides(examples.pair, STEPS)


def gpt_forward(scale: float = 1.0, first: int = 0) -> Any:
    def forward(self: Any, tokens: torch.Tensor) -> torch.Tensor:
        places = (torch.arange(tokens.shape[1]) + first) % self.wpe.weight.shape[0]
        x = scale * self.wte(tokens) + self.wpe(places)
        for block in self.h:
            x = block(x)
        return self.head(self.ln_f(x))

    return forward


def split_by_head(self: Any, x: torch.Tensor) -> torch.Tensor:
    parts = self.qkv(x).unflatten(-1, (self.heads, 3, -1))
    query, key, value = (parts[..., place, :].transpose(1, 2) for place in range(3))
    mixed = F.scaled_dot_product_attention(query, key, value, is_causal=True)
    return self.proj(mixed.transpose(1, 2).flatten(-2))


PLAIN_PLANTS: dict[str, tuple[str, Callable[[Sides, Any], Any]]] = {
    "embedding scale": ("embedding scale", lambda _, m: patch.object(m.GPT, "forward", gpt_forward(24**0.5))),
    "position shift": ("position shift", lambda _, m: patch.object(m.GPT, "forward", gpt_forward(first=2))),
    "activation": ("activation", lambda _, m: patch.object(m, "F", SimpleNamespace(gelu=F.relu, softmax=F.softmax))),
    "fused": ("fused projections", lambda _, m: patch.object(m.Attention, "forward", split_by_head)),
    "transpose": ("transpose", lambda sides, _: not_transposed(sides)),
    "bias": ("bias", lambda _, m: patch.object(m.MLP, "forward", lambda self, x: without_bias(self, x))),
}  # fmt: skip


def not_transposed(sides: Sides) -> Patch:
    changed = Transfer(replace(sides.pair, weights=sides.pair.weights.replace("proj.weight : T", "proj.weight")))
    return together(*(patch.object(part, "transfer", changed) for part in (sides, sides.candidate, sides.reference)))


def without_bias(self: Any, x: torch.Tensor) -> torch.Tensor:
    return F.linear(F.gelu(self.up(x)), self.down.weight)


@pytest.mark.parametrize("name", PLAIN_PLANTS)
def test_seams_of_a_function_are_named(name: str, function_sides: Sides) -> None:
    seam, plant = PLAIN_PLANTS[name]
    torch_side = importlib.import_module("plain_torch_gpt")
    seed = list(PLAIN_PLANTS).index(name)  # what the candidate computes is kept, and one plant changes its weights
    assert_named(found(function_sides, lambda sides: plant(sides, torch_side), seed=seed), seam)


def test_a_cast_to_float32_is_named(examples: ModuleType) -> None:
    """In the candidate: of the oracle, casts are taken out."""
    function = importlib.import_module("function_gpt")
    plain = function.layer_norm
    narrow = lambda p, x: plain(p, x.astype(jnp.float32)).astype(jnp.float32).astype(x.dtype)
    with patch.object(function, "layer_norm", narrow):
        pair: Pair = examples.pair
        assert_named(found(Sides(pair, STEPS), lambda _: nullcontext()), "float32", "h.0.ln_1")


def test_the_table_names_each_seam_once_and_the_tests_cover_those_that_can_be_found() -> None:
    names = [seam.name for seam in SEAMS]
    assert len(set(names)) == len(names) and all(seam.differs and seam.effect for seam in SEAMS)
    planted = {seam for _, seam, _ in MODULES.values()} | {seam for _, seam in TRAINING.values()}
    planted |= {each[3] for each in OTHERS.values()} | {seam for seam, _ in PLAIN_PLANTS.values()} | {"float32"}
    named_elsewhere = {
        "vocabulary padding", "fast variance", "top-k ties", "router precision", "ignored targets", "initial values",
        "null direction", "random draws", "rotary channels", "positions by layer", "document borders", "branch scale",
        "shared expert",
    }  # fmt: skip
    assert planted | named_elsewhere == set(names)
