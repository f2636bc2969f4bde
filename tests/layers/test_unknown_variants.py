"""A value that no branch was written for is an error in both packages, never the last branch."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from jaxdec.config.parts import AttentionPattern, MoE
from jaxdec.config.positions import RoPE
from jaxdec.config.run import Precision
from jaxdec.layers.attention.attention import Heads
from jaxdec.layers.attention.cache import empty_cache
from jaxdec.layers.block import Block
from jaxdec.layers.mlp import make_mlp
from jaxdec.layers.moe.experts import Experts
from jaxdec.layers.moe.router import gates
from jaxdec.layers.norm import make_norm
from jaxdec.layers.position import rope_frequencies
from jaxdec.layers.residual import branch_input, residual_sum
from jaxdec.models import flops
from jaxdec.models.encoder_decoder import EncoderDecoder
from jaxdec.models.functional import Model
from tests import encoder_decoders, tiny

X, SLOTS = jnp.ones((1, 4, 16)), jnp.arange(4)[None]


@dataclass(frozen=True)
class Unknown:
    """A part of a kind that no layer knows; what all parts of some kind have does not save it."""

    epsilon: float = 1e-5
    hidden: int = 8
    expansion: int = 4
    activation: str = "silu"
    factor: float = 2.0


@dataclass(frozen=True)
class NoRule(AttentionPattern):
    """A pattern whose author forgot the rule."""


@dataclass(frozen=True)
class EveryOther(AttentionPattern):
    """A pattern that nothing but its class knows: a query reads itself and every second token before it."""

    def allowed(self, query: Any, key: Any) -> Any:
        return (key <= query) & ((query - key) % 2 == 0)


def changed(config: Any, **values: Any) -> Any:
    """A config with values that its class would refuse."""
    config = replace(config)
    for name, value in values.items():
        object.__setattr__(config, name, value)
    return config


def rngs() -> nnx.Rngs:
    return nnx.Rngs(0)


OTHER: Any = Unknown()
CASES: dict[str, Callable[[], Any]] = {
    "mlp": lambda: make_mlp(tiny.MODEL, OTHER, 0.02, rngs=rngs()),
    "mlp of a block": lambda: Block(changed(tiny.MODEL, mlp=OTHER), 0, rngs=rngs()),
    "expert": lambda: Experts(16, 2, OTHER, False, 0.1, rngs=rngs()),
    "norm": lambda: make_norm(16, OTHER, bias=True),
    "norm of a block": lambda: Block(changed(tiny.MODEL, branch_norm="none"), 0, rngs=rngs()),
    "residual of a block": lambda: applied(changed(tiny.MODEL, residual="none")),
    "norm place, input": lambda: branch_input(make_norm(16, tiny.MODEL.norm, True), X, "both"),  # type: ignore[arg-type]
    "norm place, sum": lambda: residual_sum(make_norm(16, tiny.MODEL.norm, True), X, X, "both"),  # type: ignore[arg-type]
    "norm of queries": lambda: Heads(changed(tiny.MODEL, qk_norm_over="pair"), 0, rngs=rngs()),
    "position": lambda: applied(changed(tiny.MODEL, position=OTHER)),
    "position of a layer": lambda: Heads(changed(tiny.MODEL, position=OTHER), 0, rngs=rngs()).project(X, SLOTS),
    "position of an encoder": lambda: EncoderDecoder(
        changed(encoder_decoders.PAPER, position=OTHER), rngs=rngs()
    ).embed(SLOTS, SLOTS, jnp.dtype("float32"), source=True),
    "scaling": lambda: rope_frequencies(changed(RoPE(), scaling=OTHER), 8),
    "pattern": lambda: applied(changed(tiny.MODEL, attention=NoRule())),
    "documents": lambda: applied(changed(tiny.MODEL, documents=OTHER)),
    "documents of a cache": lambda: empty_cache(
        changed(tiny.MODEL, documents=OTHER), jnp.zeros(1, int), 4, jnp.dtype("float32")
    ),
    "gates": lambda: gates(jnp.ones((2, 3)), jnp.zeros((2, 1), int), "some"),  # type: ignore[arg-type]
    "mlp, counted": lambda: flops.count(changed(tiny.MODEL, mlp=OTHER), 11),
    "norm, counted": lambda: flops.count(changed(tiny.MODEL, norm=OTHER), 11),
    "model, counted": lambda: flops.count(changed(MoE(experts=2), vocab_size=11, width=16), 11),  # type: ignore[arg-type]
    "model": lambda: Model(changed(MoE(experts=2)), Precision()).build(jax.random.key(0)),  # type: ignore[arg-type]
}


def applied(config: Any) -> Any:
    model = Model(config, Precision())
    return jax.eval_shape(lambda: model.apply(model.init(jax.random.key(0)), jnp.zeros((1, 4), int)))


@pytest.mark.parametrize("case", CASES)
def test_an_unknown_variant_is_an_error(case: str) -> None:
    with pytest.raises(
        (AssertionError, NotImplementedError, KeyError), match=r"Unknown|NoRule|MoE|none|both|pair|some"
    ):
        CASES[case]()


def test_a_new_pattern_needs_its_class_alone() -> None:
    """Heads, mask and cache know a pattern by its rule."""
    model = Model(changed(tiny.MODEL, attention=EveryOther()), Precision())
    params, tokens = tiny.generic_params(model), jnp.asarray(tiny.tokens(1, 6))
    whole = model.apply(params, tokens).logits_BTV
    cache = empty_cache(model.config, jnp.zeros(1, jnp.int32), 6, jnp.dtype("float32"))
    first = model.apply(params, tokens[:, :4], cache=cache)
    rest = model.apply(params, tokens[:, 4:], cache=first.cache)
    np.testing.assert_allclose(jnp.concatenate([first.logits_BTV, rest.logits_BTV], 1), whole, rtol=1e-4, atol=1e-5)
    full = Model(tiny.MODEL, Precision()).apply(params, tokens).logits_BTV
    assert np.abs(whole - full).max() > 0.01
