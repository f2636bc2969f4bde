"""A block is its parts in the order that its config says; the other values of a decoder against their definitions."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from jaxdec.config.parts import LayerNorm, RMSNorm
from jaxdec.config.positions import RoPE
from jaxdec.config.run import Precision
from jaxdec.layers.attention.attention import Heads
from jaxdec.layers.attention.kernel import scores
from jaxdec.layers.block import Block
from jaxdec.layers.position import rotate
from jaxdec.models.functional import Model
from tests import tiny

SLOTS = jnp.arange(5)[None]
BranchNorm = Literal["pre", "post", "both"]


def vectors(*shape: int) -> jax.Array:
    return jnp.asarray(np.random.default_rng(0).normal(size=shape), jnp.float32)


def block(place: BranchNorm, **values: Any) -> Any:
    """A block whose norms scale by other factors than one."""
    made = Block(replace(tiny.MODEL, branch_norm=place, norm=RMSNorm(), **values), 0, rngs=nnx.Rngs(0))
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


def test_branches_in_parallel_read_the_same_stream() -> None:
    x, wired = vectors(2, 5, 16), {}
    for residual in ("sequential", "parallel", "parallel_one_norm"):
        made = block("both", residual=residual)
        norm = made.mlp_norm if made.mlp_norm is not None else made.attention_norm
        h = made.attention_post_norm(made.attention(made.attention_norm(x), SLOTS, None, None, None)[0])
        expected = x + h + made.mlp_post_norm(made.mlp(norm(x + h if residual == "sequential" else x)))
        wired[residual], *_ = made(x, SLOTS, None, None, None)
        assert (made.mlp_norm is None) == (residual == "parallel_one_norm")
        np.testing.assert_allclose(wired[residual], expected, rtol=1e-5, atol=1e-5)
    assert all(np.abs(wired["parallel"] - wired[other]).max() > 0.1 for other in ("sequential", "parallel_one_norm"))


def test_the_first_channels_turn_as_a_head_of_their_number() -> None:
    x, positions, rope = vectors(1, 5, 2, 8), SLOTS, RoPE(theta=100.0, channels=6)
    turned = rotate(x, positions, rope)
    np.testing.assert_array_equal(turned[..., 6:], x[..., 6:])
    np.testing.assert_array_equal(turned[..., :6], rotate(x[..., :6], positions, RoPE(theta=100.0)))
    np.testing.assert_array_equal(rotate(x, positions, RoPE(channels=8)), rotate(x, positions, RoPE()))


def test_queries_keys_and_values_are_clipped() -> None:
    x = 40 * vectors(1, 5, 16)
    plain, clipped = (Heads(replace(tiny.MODEL, qkv_clip=clip), 0, rngs=nnx.Rngs(0)) for clip in (None, 0.5))
    for part, expected in zip(clipped.project(x, SLOTS), plain.project(x, SLOTS), strict=True):
        np.testing.assert_array_equal(part, np.clip(expected, -0.5, 0.5))
        assert np.abs(expected).max() > 1


@pytest.mark.parametrize(
    ("norm", "bias", "held"),
    [
        (LayerNorm(), True, {"scale", "bias"}),
        (LayerNorm(), False, {"scale"}),
        (LayerNorm(bias=True), False, {"scale", "bias"}),
        (LayerNorm(bias=False), True, {"scale"}),
        (LayerNorm(scale=False), True, {"bias"}),
        (LayerNorm(scale=False), False, set()),
    ],
)
def test_a_layer_norm_says_what_it_holds(norm: LayerNorm, bias: bool, held: set[str]) -> None:
    names = Model(replace(tiny.MODEL, norm=norm, bias=bias), Precision()).shapes()
    assert {name.split(".")[-1] for name in names if "norm" in name} == held
    assert ("blocks.0.mlp.up.bias" in names) == bias


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
        (False, "out", {"out"}),
        (True, "out", {"out", "up", "down"}),
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
