"""The mixture of experts against a dense oracle that runs every expert on every token, and against a dense layer."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any
from unittest import mock

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from hypothesis import given, settings
from hypothesis import strategies as st
from jax.sharding import NamedSharding

from jaxdec.config.model import DecoderConfig
from jaxdec.config.parts import MLP, GatedMLP, MoE
from jaxdec.config.run import MeshConfig, Precision
from jaxdec.distributed.sharding import make_mesh, param_shardings, spec
from jaxdec.layers.mlp import ACTIVATIONS, make_mlp
from jaxdec.layers.moe import moe, router
from jaxdec.models.functional import Model
from jaxdec.training.losses import language_loss
from jaxdec.training.optim import is_decayed
from tests import tiny

GPT = DecoderConfig(layers=2, heads=2, width=8, context=8, vocab_size=11)
Params = dict[str, Any]


def build(module: Callable[[], nnx.Module], seed: int = 0) -> tuple[Callable[[Params], Any], Params]:
    """(params -> module, generic float64 parameters of size one)."""
    graphdef, state = nnx.split(jax.eval_shape(module))
    rng, paths = np.random.default_rng(seed), dict(nnx.to_flat_state(state))
    params = {
        ".".join(map(str, path)): jnp.asarray(rng.normal(size=leaf.shape)) for path, leaf in sorted(paths.items())
    }

    def merged(params: Params) -> Any:
        tree: dict[Any, Any] = {}
        for path in paths:
            node = tree
            for part in path[:-1]:
                node = node.setdefault(part, {})
            node[path[-1]] = params[".".join(map(str, path))]
        return nnx.merge(graphdef, tree)

    return merged, params


def layer(part: MoE, config: DecoderConfig = GPT) -> tuple[Callable[..., Any], Params]:
    """(compiled (params, x, key) -> (y, routing), parameters)."""
    merged, params = build(lambda: moe.MoEModule(config, part, rngs=nnx.Rngs(params=0)))
    return jax.jit(lambda params, x, key: merged(params)(x, key)), params


def inputs(batch: int = 3, length: int = 4, seed: int = 0) -> jax.Array:
    return jnp.asarray(np.random.default_rng(seed).normal(size=(batch, length, GPT.width)))


def table(part: MoE, params: Params, x_BTD: jax.Array, *, training: bool) -> tuple[np.ndarray, np.ndarray]:
    """Which experts a token chose, and which of them had a slot left, both [N,E] of 0 and 1."""
    scores_NE = np.asarray(x_BTD).reshape(-1, x_BTD.shape[-1]) @ np.asarray(params["router.kernel"])
    ranked = np.argsort(-scores_NE, axis=-1)[:, : part.top_k]
    slots = router.capacity(part, len(scores_NE), training=training)
    kept_NE, chosen_NE, taken = np.zeros(scores_NE.shape), np.zeros(scores_NE.shape), np.zeros(part.experts)
    for choice in range(part.top_k):
        for token in range(len(scores_NE)):
            expert = ranked[token, choice]
            chosen_NE[token, expert] = 1
            kept_NE[token, expert] = slots is None or taken[expert] < slots
            taken[expert] += 1
    return chosen_NE, kept_NE


def oracle(part: MoE, config: DecoderConfig, params: Params, x_BTD: jax.Array, tables: Any) -> jax.Array:
    """Every expert on every token, weighted by gates [N,E] that are zero where there was no choice or no slot."""
    x_ND, (chosen_NE, kept_NE) = x_BTD.reshape(-1, x_BTD.shape[-1]), tables
    powers_NE = jnp.exp(x_ND @ params["router.kernel"])
    sums_N1 = (powers_NE * (chosen_NE if part.gates == "chosen" else 1)).sum(-1, keepdims=True)

    def linear(x: jax.Array, name: str) -> jax.Array:
        y = jnp.einsum("nd,edf->enf" if x.ndim == 2 else "end,edf->enf", x, params[f"experts.{name}"])
        return y + params[f"experts.{name}_bias"][:, None] if config.bias else y

    up_ENF = linear(x_ND, "up")
    if isinstance(part.expert, GatedMLP):
        hidden_ENF = jax.nn.silu(linear(x_ND, "gate")) * up_ENF
    else:
        hidden_ENF = ACTIVATIONS[part.expert.activation](up_ENF)
    y_ND = jnp.einsum("ne,end->nd", powers_NE / sums_N1 * kept_NE, linear(hidden_ENF, "down"))
    if part.shared is not None:
        merged, names = build(lambda: make_mlp(config, part.shared, 1.0, rngs=nnx.Rngs(params=0)))
        y_ND = y_ND + merged({name: params["shared." + name] for name in names})(x_ND)
    return y_ND.reshape(x_BTD.shape)


PARTS = {
    "drops": MoE(experts=5, top_k=2, capacity_factor=0.6, eval_capacity_factor=1.0, min_capacity=1),
    "dropless": MoE(experts=5, top_k=3, capacity_factor=None, eval_capacity_factor=None, gates="all"),
    "swiglu, shared": MoE(
        experts=3,
        top_k=1,
        capacity_factor=0.5,
        expert=GatedMLP(6),
        shared=MLP(expansion=1),
        gates="all",
        min_capacity=2,
    ),
    "all experts": MoE(experts=3, top_k=3, capacity_factor=None, eval_capacity_factor=0.7, expert=MLP(1, "relu")),
}


@pytest.mark.parametrize("name", PARTS)
def test_outputs_and_gradients_equal_the_dense_oracle(name: str):
    part, config = PARTS[name], replace(GPT, bias=name != "dropless")
    with jax.enable_x64(True):
        call, params = layer(part, config)
        weights = inputs(seed=9)

        def ours(params, x, key):
            y, routing = call(params, x, key)
            return jnp.sum(weights * y), (y, routing.metrics["dropped_fraction"])

        def theirs(params, x, tables):
            y = oracle(part, config, params, x, tables)
            return jnp.sum(weights * y), y

        for seed, key in ((0, jax.random.key(0)), (1, None)):
            x, training = inputs(seed=seed), key is not None
            tables = table(part, params, x, training=training)
            (_, (y, dropped)), grads = jax.jit(jax.value_and_grad(ours, (0, 1), has_aux=True))(params, x, key)
            (_, true_y), true_grads = jax.jit(jax.value_and_grad(theirs, (0, 1), has_aux=True))(params, x, tables)
            np.testing.assert_allclose(dropped, 1 - tables[1].sum() / tables[0].sum(), atol=1e-15)
            assert not training or (dropped > 0) == (part.capacity_factor is not None)
            np.testing.assert_allclose(y, true_y, rtol=1e-12, atol=1e-12)
            jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-11, atol=1e-11), grads, true_grads)


@pytest.mark.parametrize("expert", [MLP(expansion=3), GatedMLP(hidden=12)], ids=["mlp", "swiglu"])
@pytest.mark.parametrize("factor", [1.0, None])
def test_one_expert_equals_the_dense_layer(expert: MLP | GatedMLP, factor: float | None):
    part = MoE(experts=1, top_k=1, expert=expert, capacity_factor=factor)
    with jax.enable_x64(True):
        call, params = layer(part)
        dense, names = build(lambda: make_mlp(GPT, expert, 1.0, rngs=nnx.Rngs(params=0)))
        own = {name: params["experts." + name.replace(".kernel", "").replace(".bias", "_bias")][0] for name in names}
        x = inputs()
        np.testing.assert_allclose(call(params, x, jax.random.key(0))[0], dense(own)(x), rtol=1e-13, atol=1e-13)


PREPARED: dict[str, Any] = {}


def prepared(name: str) -> tuple[Callable[..., Any], Params]:
    """One layer for all examples of a property: compiled once."""
    if name not in PREPARED:
        PREPARED[name] = layer(PARTS[name])
    return PREPARED[name]


@settings(max_examples=8)
@given(st.permutations(range(5)), st.sampled_from(["drops", "dropless"]), st.booleans())
def test_the_order_of_experts_means_nothing(order: list[int], name: str, training: bool):
    with jax.enable_x64(True):
        call, params = prepared(name)
        turned = {
            part: value[:, np.array(order)] if part == "router.kernel" else value[np.array(order)]
            for part, value in params.items()
        }
        key, x = jax.random.key(0) if training else None, inputs()
        (y, routing), (y_turned, routing_turned) = call(params, x, key), call(turned, x, key)
        np.testing.assert_allclose(y, y_turned, rtol=1e-12, atol=1e-12)
        for new, old in enumerate(order):
            assert routing_turned.metrics[f"load.{new}"] == routing.metrics[f"load.{old}"]
        for loss in routing.aux:
            np.testing.assert_allclose(routing.aux[loss], routing_turned.aux[loss], rtol=1e-12)


def test_metrics_and_losses():
    part = MoE(experts=4, top_k=2, capacity_factor=0.5, min_capacity=1, balance_loss=0.5, z_loss=0.25)
    with jax.enable_x64(True):
        call, params = layer(part)
        params["router.kernel"] = jnp.zeros_like(params["router.kernel"])  # all tokens choose experts 0 and 1
        _, routing = call(params, inputs(), jax.random.key(0))
    np.testing.assert_allclose([routing.metrics[f"load.{expert}"] for expert in range(4)], [2, 2, 0, 0])
    np.testing.assert_allclose(routing.metrics["dropped_fraction"], 1 - 2 / 12)  # 2 slots each for 12 tokens
    np.testing.assert_allclose(routing.metrics["router_entropy"], np.log(4))
    np.testing.assert_allclose(routing.aux["balance_loss"], 0.5)
    np.testing.assert_allclose(routing.aux["z_loss"], 0.25 * np.log(4) ** 2)
    bare = replace(part, balance_loss=0.0, z_loss=0.0)
    assert layer(bare)[0](params, inputs(), None)[1].aux == {}


def test_a_token_without_a_slot_gets_what_the_shared_expert_gives():
    part = MoE(experts=2, top_k=1, capacity_factor=0.1, min_capacity=1)
    call, params = layer(part)
    y, _ = call(params, inputs(), jax.random.key(0))
    rows = np.abs(np.asarray(y)).sum(-1).ravel()
    assert np.sum(rows == 0) == 10  # of 12: one slot for each expert
    call, params = layer(replace(part, shared=MLP(expansion=1)))
    assert np.all(np.abs(np.asarray(call(params, inputs(), jax.random.key(0))[0])).sum(-1) > 0)


def test_noise_is_for_training_alone_and_learned():
    part = MoE(experts=4, top_k=2, noisy=True, capacity_factor=None, eval_capacity_factor=None)
    call, params = layer(part)
    plain, _ = layer(replace(part, noisy=False))
    quiet = {name: value for name, value in params.items() if name != "noise.kernel"}
    x = inputs()
    np.testing.assert_array_equal(call(params, x, None)[0], plain(quiet, x, None)[0])
    once, again = call(params, x, jax.random.key(0))[0], call(params, x, jax.random.key(1))[0]
    assert not np.allclose(once, again)
    with mock.patch.object(router, "router_noise", lambda key, shape: jnp.zeros(shape)):
        silent, _ = layer(part)
        np.testing.assert_allclose(silent(params, x, jax.random.key(0))[0], plain(quiet, x, None)[0], rtol=1e-5)
    gradient = jax.grad(lambda params: jnp.sum(call(params, x, jax.random.key(0))[0] ** 2))(params)
    assert np.any(np.asarray(gradient["noise.kernel"]) != 0)


def test_the_router_works_in_float32_beside_bfloat16_experts():
    part = MoE(experts=4, top_k=2, capacity_factor=None)
    x = jnp.asarray(inputs(8, 32), jnp.bfloat16)
    with mock.patch.object(router, "choose", side_effect=router.choose) as choose:
        merged, params = build(lambda: moe.MoEModule(GPT, part, rngs=nnx.Rngs(params=0)))
        y, routing = merged(params)(x, jax.random.key(0))
    scores_NE = choose.call_args[0][0]
    exact = np.asarray(x, np.float64).reshape(-1, GPT.width) @ np.asarray(params["router.kernel"], np.float64)
    assert y.dtype == jnp.bfloat16 and routing.aux["z_loss"].dtype == scores_NE.dtype == jnp.float32
    np.testing.assert_allclose(scores_NE, exact, rtol=1e-5, atol=1e-5)


def test_with_a_capacity_later_tokens_take_slots_from_earlier_ones_and_without_one_they_do_not():
    """First choices of later tokens come before second choices of earlier ones. The gradient does not see it."""
    x = inputs(1, 8)
    for name, changes in (("drops", True), ("dropless", False)):
        call, params = layer(PARTS[name])
        same = all(
            np.array_equal(
                call(params, x, jax.random.key(0))[0][:, :4], call(params, other, jax.random.key(0))[0][:, :4]
            )
            for other in (x.at[:, 4:].set(inputs(1, 4, seed)) for seed in range(1, 20))
        )
        assert same != changes
        later = jax.grad(lambda x, call=call, params=params: jnp.sum(call(params, x, jax.random.key(0))[0][:, :4]))(x)
        assert np.all(np.asarray(later)[:, 4:] == 0) and np.any(np.asarray(later)[:, :4] != 0)


def test_weights_start_as_truncated_normals_and_biases_at_zero():
    part = MoE(experts=4, top_k=2, init_scale=0.5, noisy=True)
    config = replace(GPT, width=64)
    model = Model(replace(config, mlp=part), Precision())
    params = jax.jit(model.init)(jax.random.key(0))
    for name, inputs_ in (("router.kernel", 64), ("experts.up", 64), ("experts.down", 256)):
        value, std = np.asarray(params[f"blocks.0.mlp.{name}"]), (0.5 / inputs_) ** 0.5
        assert abs(value.std() / std - 1) < (0.15 if name == "router.kernel" else 0.02)
        assert np.abs(value).max() <= 2 * std / 0.8796
    for name in ("experts.up_bias", "experts.down_bias", "noise.kernel"):
        assert not np.any(params[f"blocks.0.mlp.{name}"])
    decayed = is_decayed(params)
    assert decayed["blocks.0.mlp.experts.up"] and not decayed["blocks.0.mlp.experts.up_bias"]


def test_losses_add_up_over_layers_and_metrics_are_averaged_over_those_that_have_them():
    one, two = jnp.ones(()), 2 * jnp.ones(())
    aux, metrics = moe.summarise(
        [
            moe.RouterReport({"a": one}, {"load.0": one}),
            moe.RouterReport({"a": two, "b": two}, {"load.0": two, "load.1": two}),
        ]
    )
    assert aux == {"a": 3.0, "b": 2.0} and metrics == {"load.0": 1.5, "load.1": 2.0}
    assert moe.summarise([]) == ({}, {})


@pytest.mark.parametrize("factor", [1.0, None])
def test_devices_do_not_change_the_gradient(factor: float | None):
    part = MoE(experts=4, top_k=2, expert=MLP(expansion=1), capacity_factor=factor)
    model = Model(replace(tiny.MODEL, layers=1, mlp=part), Precision())
    params, batch = tiny.generic_params(model), tiny.batch(8, 8)

    def loss(params: Params, batch: Params) -> jax.Array:
        return language_loss(model.read(params, batch, key=jax.random.key(0)), batch)[0]

    alone = jax.jit(jax.value_and_grad(loss))(params, batch)
    devices = make_mesh(MeshConfig(data=2, fsdp=2))
    with jax.set_mesh(devices):
        shardings = param_shardings(devices, model.axes, model.shapes())
        split = jax.device_put(params, shardings), jax.device_put(batch, NamedSharding(devices, spec(("batch",))))
        together = jax.block_until_ready(jax.jit(jax.value_and_grad(loss), out_shardings=(None, shardings))(*split))
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-4), alone, together)
    assert "fsdp" in str(together[1]["blocks.0.mlp.experts.up"].sharding.spec)
