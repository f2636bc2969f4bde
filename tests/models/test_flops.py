"""Parameters are those that a model has; FLOPs are a count by hand, and what XLA counts where it counts the same."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from jaxdec.config.model import (
    BigramConfig,
    DecoderConfig,
    EncoderDecoderConfig,
    MultiHeadConfig,
    OneBlockConfig,
    SingleHeadConfig,
)
from jaxdec.config.parts import MLP, Full, GatedMLP, LayerNorm, Local, MoE, RMSNorm, Strided
from jaxdec.config.positions import Learned, NoPosition, RoPE, Sinusoidal
from jaxdec.config.run import Precision
from jaxdec.models.flops import allowed_keys, count, parameters, training_flops
from jaxdec.models.functional import Model
from jaxdec.models.ladder import CHAR_GPT, GPT2, GPT2_LARGE, GPT2_MEDIUM, GPT2_XL, LADDER

one_of = st.sampled_from
plain_mlps = one_of([MLP(), MLP(expansion=2), MLP(hidden=24), GatedMLP(24)])
mixtures = st.builds(
    MoE,
    experts=one_of([2, 5]),
    top_k=one_of([1, 2]),
    expert=plain_mlps,
    shared=st.none() | plain_mlps,
    router_bias=st.booleans(),
    noisy=st.booleans(),
)
norms = one_of([LayerNorm(), LayerNorm(scale=False), LayerNorm(bias=True), LayerNorm(bias=False), RMSNorm()])
norms_of_queries = one_of([{}, {"qk_norm": RMSNorm()}, {"qk_norm": RMSNorm(), "qk_norm_over": "all"}])
models = st.one_of(
    st.builds(
        lambda of_queries, places, head, **others: DecoderConfig(**of_queries, **places, **head, **others),
        of_queries=norms_of_queries,
        layers=one_of([1, 2, 3]),
        heads=st.just(4),
        width=one_of([16, 32]),
        context=one_of([4, 8]),
        vocab_size=one_of([11, 13]),
        classes=one_of([None, 3]),
        kv_heads=one_of([None, 1, 2, 4]),
        head_dim=one_of([None, 4, 6]),
        position=one_of([Learned(), Sinusoidal(), RoPE(), NoPosition()]),
        norm=norms,
        places=one_of(
            [
                {"branch_norm": "post", "residual": "parallel"},
                *({"branch_norm": place, "residual": "parallel_one_norm"} for place in ("pre", "both")),
                *({"branch_norm": place} for place in ("pre", "post", "both")),
            ]
        ),
        attention=one_of([Full(), (Local(window=3, sink=0.0),), Strided(stride=2), Full(sink=1.0)]),
        mlp=plain_mlps | mixtures | mixtures.map(lambda mixture: (mixture,)),
        bias=st.booleans(),
        attention_bias=one_of([None, True, False, "qkv", "out"]),
        head=one_of([{}, {"tied_head": False}, {"tied_head": False, "head_bias": True}]),
    ),
    st.builds(BigramConfig, vocab_size=st.just(11), width=one_of([8, 12])),
    st.builds(SingleHeadConfig, vocab_size=st.just(11), width=one_of([8, 12])),
    st.builds(MultiHeadConfig, vocab_size=st.just(11), width=one_of([8, 12]), heads=one_of([2, 4])),
    st.builds(OneBlockConfig, vocab_size=st.just(11), layers=one_of([1, 2]), norm=norms, mlp=plain_mlps),
    st.builds(
        EncoderDecoderConfig,
        layers=one_of([1, 2]),
        heads=st.just(2),
        width=st.just(8),
        context=st.just(6),
        vocab_size=st.just(11),
        position=one_of([Learned(), Sinusoidal()]),
        norm=norms,
        norm_place=one_of(["post", "pre"]),
        mlp=plain_mlps,
        bias=st.booleans(),
        tied_head=st.booleans(),
    ),
)


def held(config: Any) -> int:
    """The parameters of the model, which is not made for it."""
    return sum(math.prod(leaf.shape) for leaf in Model(config, Precision()).shapes().values())


@settings(max_examples=40, suppress_health_check=[HealthCheck.too_slow])
@given(config=models)
def test_the_count_is_what_a_model_holds(config: Any) -> None:
    assert parameters(config, 99) == held(config), "the vocabulary of the config comes before the other"


@pytest.mark.parametrize("rung", LADDER, ids=lambda rung: rung.name)
def test_every_rung_is_counted_right(rung: Any) -> None:
    config = replace(rung.config, vocab_size=rung.config.vocab_size or 65)
    assert parameters(rung.config, 65) == held(config)


@pytest.mark.parametrize(
    ("config", "published"),
    [(GPT2, 124_439_808), (GPT2_MEDIUM, 354_823_168), (GPT2_LARGE, 774_030_080), (GPT2_XL, 1_557_611_200)],
)
def test_gpt2_has_the_published_sizes(config: DecoderConfig, published: int) -> None:
    """124M, 355M, 774M and 1558M: by shapes alone, and by the formula of Hugging Face's GPT2Model written out."""
    assert held(config) == published
    d, layers = config.width, config.layers
    embeddings = 50_257 * d + 1024 * d  # wte, wpe
    block = 2 * d + (3 * d * d + 3 * d) + (d * d + d) + 2 * d + (4 * d * d + 4 * d) + (4 * d * d + d)
    assert embeddings + layers * block + 2 * d == published  # ln_1 c_attn c_proj ln_2 c_fc c_proj; ln_f
    assert parameters(config, 0) == published


def test_flops_of_a_decoder_by_hand() -> None:
    d, t, v = 128, 64, 65
    block = 4 * d * d + 8 * d * d
    assert training_flops(CHAR_GPT, v, t) == 6 * (4 * block + v * d) + 6 * 4 * t * d
    assert training_flops(replace(CHAR_GPT, bias=True), v, t) == training_flops(CHAR_GPT, v, t)
    assert training_flops(replace(CHAR_GPT, tied_head=False), v, t) == training_flops(CHAR_GPT, v, t)
    wide = replace(CHAR_GPT, head_dim=48, kv_heads=2)
    block = 2 * d * 4 * 48 + 2 * d * 2 * 48 + 8 * d * d
    assert training_flops(wide, v, t) == 6 * (4 * block + v * d) + 6 * 4 * t * 4 * 48


def test_a_token_pays_for_the_experts_it_meets() -> None:
    d, v, t = 128, 65, 64
    mixture = replace(CHAR_GPT, mlp=MoE(8, top_k=2, expert=GatedMLP(96), shared=MLP(expansion=1)))
    mlp = 8 * d + 2 * 3 * d * 96 + 2 * d * d
    assert training_flops(mixture, v, t) == 6 * (4 * (4 * d * d + mlp) + v * d) + 6 * 4 * t * d
    noisy = replace(CHAR_GPT, mlp=replace(mixture.mlp, noisy=True))
    assert training_flops(noisy, v, t) - training_flops(mixture, v, t) == 6 * 4 * 8 * d


def test_a_window_pays_for_what_it_sees() -> None:
    assert allowed_keys(Full(), 64) == 32
    assert allowed_keys(Local(window=1), 64) == 1
    assert allowed_keys(Local(window=4), 4) == (1 + 2 + 3 + 4) / 4
    assert allowed_keys(Local(window=2), 8) == (1 + 7 * 2) / 8
    assert allowed_keys(Strided(stride=2), 6) == (1 + 2 + 3 + 3 + 4 + 4) / 6  # two, and every second before them
    half = replace(CHAR_GPT, attention=(Local(window=1), Full()))
    assert training_flops(CHAR_GPT, 65, 64) - training_flops(half, 65, 64) == 12 * 2 * 128 * (32 - 1)


def test_the_wirings_by_hand() -> None:
    assert training_flops(BigramConfig(width=32), 65, 8) == 6 * 65 * 32
    assert training_flops(SingleHeadConfig(), 65, 32) == 6 * (3 * 64 * 64 + 65 * 64) + 6 * 32 * 64
    assert training_flops(MultiHeadConfig(), 65, 32) == 6 * (4 * 64 * 64 + 65 * 64) + 6 * 32 * 64
    model = EncoderDecoderConfig(layers=2, heads=2, width=16, context=32)
    matrices = 2 * (4 + 8) * 16**2 + 2 * (8 + 8) * 16**2 + 65 * 16
    assert training_flops(model, 65, 32) == 6 * matrices + 12 * 2 * 16 * (32 + 32 + 16)


def test_xla_counts_the_same_and_the_masked_half_of_attention() -> None:
    """The forward pass, unscanned. XLA adds norms, activations and softmax, a tenth here; they are no matrix's."""
    config = replace(CHAR_GPT, vocab_size=65)
    model, batch, time = Model(config, Precision()), 4, 64
    tokens = jnp.zeros((batch, time), jnp.int32)
    lowered = jax.jit(lambda params: model.apply(params, tokens).logits_BTV).lower(model.shapes())
    analysis: Any = lowered.compile().cost_analysis()
    ours = training_flops(config, 65, time) / 3 + 2 * 4 * time * 128
    assert 1.0 < analysis["flops"] / (batch * time) / ours < 1.15


def test_parts_add_up_and_are_named() -> None:
    parts = count(GPT2, 0)
    assert list(parts) == ["token table", "attention", "feed-forward", "norms", "position table", "head"]
    assert parts["head"].parameters == 0, "it reads the token table"
    assert parts["head"].active == parts["token table"].parameters
