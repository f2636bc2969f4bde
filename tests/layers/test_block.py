"""A block is its parts in the order that its config says; the other values of a decoder against their definitions."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from jaxdec.config.parts import RMSNorm
from jaxdec.config.run import Precision
from jaxdec.layers.attention.attention import Heads
from jaxdec.layers.attention.kernel import scores
from jaxdec.layers.block import Block
from jaxdec.models.functional import Model
from tests import tiny

SLOTS = jnp.arange(5)[None]
BranchNorm = Literal["pre", "post", "both"]


def vectors(*shape: int) -> jax.Array:
    return jnp.asarray(np.random.default_rng(0).normal(size=shape), jnp.float32)


def block(place: BranchNorm) -> Any:
    """A block whose norms scale by other factors than one."""
    made = Block(replace(tiny.MODEL, branch_norm=place, norm=RMSNorm()), 0, rngs=nnx.Rngs(0))
    for number, name in enumerate(("attention_norm", "attention_post_norm", "mlp_norm", "mlp_post_norm")):
        if getattr(made, name) is not None:
            getattr(made, name).scale[...] = jnp.linspace(0.5, 2.0 + number, 16)
    return made


def test_norms_stand_where_the_config_puts_them() -> None:
    x, wired = vectors(2, 5, 16), {}
    for place in ("pre", "post", "both"):
        made = block(place)
        read = lambda y, made=made: made.attention(y, SLOTS, None, None, None)[0]  # noqa: E731
        match place:
            case "pre":
                h = x + read(made.attention_norm(x))
                expected = h + made.mlp(made.mlp_norm(h))
            case "post":
                h = x + made.attention_post_norm(read(x))
                expected = h + made.mlp_post_norm(made.mlp(h))
            case "both":
                h = x + made.attention_post_norm(read(made.attention_norm(x)))
                expected = h + made.mlp_post_norm(made.mlp(made.mlp_norm(h)))
        wired[place], *_ = made(x, SLOTS, None, None, None)
        np.testing.assert_allclose(wired[place], expected, rtol=1e-6, atol=1e-6)
    assert all(np.abs(wired[a] - wired[b]).max() > 0.1 for a, b in (("pre", "post"), ("post", "both")))


@pytest.mark.parametrize(
    ("place", "held"),
    [
        ("pre", {"attention_norm", "mlp_norm"}),
        ("post", {"attention_post_norm", "mlp_post_norm"}),
        ("both", {"attention_norm", "mlp_norm", "attention_post_norm", "mlp_post_norm"}),
    ],
)
def test_a_block_holds_the_norms_that_it_uses(place: BranchNorm, held: set[str]) -> None:
    names = Model(replace(tiny.MODEL, branch_norm=place), Precision()).shapes()
    assert {name.split(".")[-2] for name in names if name.endswith("norm.scale")} == held | {"final_norm"}


def projected(**values: Any) -> tuple[Any, jax.Array, jax.Array]:
    """Heads of scores of another width than the model's, and their queries and keys."""
    config = replace(tiny.MODEL, heads=4, kv_heads=2, head_dim=6, qk_norm=RMSNorm(0.1), **values)
    heads = Heads(config, 0, rngs=nnx.Rngs(0))
    for norm in (heads.query_norm, heads.key_norm):
        assert norm is not None
        norm.scale[...] = jnp.linspace(0.5, 2.0, norm.scale.shape[0])
    q, k, _ = heads.project(40 * vectors(1, 5, 16), SLOTS)
    return heads, q, k


def test_queries_and_keys_are_normed_together_or_head_by_head() -> None:
    x = 40 * vectors(1, 5, 16)
    for over in ("head", "all"):
        heads, q, k = projected(qk_norm_over=over)
        for part, projection, norm in ((q, heads.query, heads.query_norm), (k, heads.key, heads.key_norm)):
            plain = np.asarray(projection(x))
            plain = plain if over == "all" else plain.reshape(1, 5, -1, 6)
            expected = plain / np.sqrt((plain**2).mean(-1, keepdims=True) + 0.1) * np.asarray(norm.scale[...])
            assert norm.scale.shape[0] == plain.shape[-1]
            np.testing.assert_allclose(np.asarray(part).reshape(expected.shape), expected, rtol=2e-5, atol=1e-6)


def test_a_score_scale_takes_the_place_of_the_root() -> None:
    _, q, k = projected()
    np.testing.assert_allclose(scores(q, k, 0.3), scores(q, k, None) * (0.3 * 6**0.5), rtol=1e-5)


@pytest.mark.parametrize(
    ("bias", "attention_bias", "held"),
    [
        (True, None, {"query", "key", "value", "out", "up", "down"}),
        (True, False, {"up", "down"}),
        (True, "qkv", {"query", "key", "value", "up", "down"}),
        (False, None, set()),
        (False, True, {"query", "key", "value", "out"}),
        (False, "qkv", {"query", "key", "value"}),
    ],
)
def test_attention_has_biases_of_its_own(bias: bool, attention_bias: Any, held: set[str]) -> None:
    config = replace(tiny.MODEL, bias=bias, attention_bias=attention_bias, norm=RMSNorm())
    names = Model(config, Precision()).shapes()
    assert {name.split(".")[-2] for name in names if name.endswith("bias")} == held


def test_token_vectors_alone_are_scaled() -> None:
    """A decoder with the factor is one whose table is that much larger, but for its head."""
    config = replace(tiny.MODEL, tied_head=False)
    plain, scaled = Model(config, Precision()), Model(replace(config, embed_scale=3.0), Precision())
    params, tokens = tiny.generic_params(plain), jnp.asarray(tiny.tokens(2, 6))
    larger = params | {"token_embed.embedding": 3.0 * params["token_embed.embedding"]}
    ours, theirs, before = (
        np.asarray(model.apply(given, tokens)[0])
        for model, given in ((scaled, params), (plain, larger), (plain, params))
    )
    np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-6)
    assert np.abs(ours - before).max() > 0.1
