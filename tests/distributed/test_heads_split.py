"""A mesh that splits heads and feed-forward channels: no kernel is gathered or moved, and the numbers stay the same.

No rule of `sharding.RULES` splits them yet. Here they are mapped to an axis `tensor`, as tensor parallelism will do.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AxisType, NamedSharding
from jax.sharding import PartitionSpec as P

from jaxdec.config.parts import GatedMLP, RMSNorm
from jaxdec.config.positions import RoPE
from jaxdec.config.run import MeshConfig, Precision
from jaxdec.distributed import sharding
from jaxdec.layers.linear import linear, rows
from jaxdec.models.functional import Model
from tests import tiny

COLLECTIVES = ("all-gather", "all-to-all", "collective-permute", "reduce-scatter", "all-reduce")
GROUPED = replace(
    tiny.MODEL,
    layers=1,
    heads=8,
    kv_heads=4,
    width=32,
    bias=True,
    position=RoPE(),
    norm=RMSNorm(),
    mlp=GatedMLP(hidden=48),
)


@pytest.fixture
def mesh(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Four devices: (data, fsdp, tensor), and optionally time over `context`, as the parameter says."""
    sizes = dict(zip(("data", "fsdp", "tensor", "context"), request.param, strict=True))
    rules = {**sharding.RULES, "heads": "tensor", "mlp": "tensor", "time": "context"}
    monkeypatch.setattr(sharding, "RULES", rules)
    return jax.make_mesh(tuple(sizes.values()), tuple(sizes), axis_types=(AxisType.Auto,) * len(sizes))


def loss_and_gradients(model: Model, params: Any, batch: Any) -> Any:
    def loss(params: Any) -> jax.Array:
        log_p_BTV = jax.nn.log_softmax(model.read(params, batch).logits_BTV)
        return -jnp.take_along_axis(log_p_BTV, batch["targets"][..., None], axis=-1).sum()

    return jax.value_and_grad(loss)(params)


def collectives(program: str) -> Counter[str]:
    """How often each kind of data movement between devices stands in a compiled program."""
    return Counter(re.findall(rf"= [^=]*? ({'|'.join(COLLECTIVES)})(?:-start)?\(", program))


def split(model: Model, mesh: Any, params: Any, batch: Any) -> tuple[Any, Any]:
    """Parameters and batch on the devices of a mesh."""
    params = jax.device_put(params, sharding.param_shardings(mesh, model.axes, params))
    return params, jax.device_put(batch, NamedSharding(mesh, P(("data", "fsdp"))))


@pytest.mark.parametrize("mesh", [(1, 1, 4, 1), (2, 1, 2, 1)], indirect=True, ids=["tensor 4", "data 2, tensor 2"])
def test_split_heads_are_not_gathered_and_change_no_number(mesh: Any, capfd: pytest.CaptureFixture[str]) -> None:
    with jax.enable_x64(True):
        model = Model(GROUPED, Precision("float64", "float64"))
        params, batch = tiny.generic_params(model), tiny.batch(4, 8)
        expected, derived = jax.jit(lambda *given: loss_and_gradients(model, *given))(params, batch)
        with jax.set_mesh(mesh):
            params, batch = split(model, mesh, params, batch)
            kernel = params["blocks.0.attention.key.kernel"]
            assert kernel.sharding.shard_shape(kernel.shape) == (32, 16 // mesh.shape["tensor"])
            program = jax.jit(lambda *given: loss_and_gradients(model, *given)).lower(params, batch).compile()
            loss, gradients = program(params, batch)
    assert set(collectives(program.as_text())) == {"all-reduce"}
    assert "rematerialization" not in capfd.readouterr().err
    np.testing.assert_allclose(loss, expected, rtol=1e-12)
    for name, gradient in derived.items():
        np.testing.assert_allclose(gradients[name], gradient, rtol=1e-12, atol=1e-12, err_msg=name)


@pytest.mark.parametrize("mesh", [(2, 1, 1, 2)], indirect=True, ids=["data 2, context 2"])
def test_tokens_are_not_merged_where_batch_or_time_is_split(mesh: Any) -> None:
    """Each device multiplies the tokens it holds; only the kernel's gradient is summed over devices."""
    rng = np.random.default_rng(0)
    x_BTD, kernel_DF = (jnp.asarray(rng.normal(size=size), jnp.float32) for size in ((4, 8, 16), (16, 12)))

    def value_and_gradients(x_BTD: jax.Array, kernel_DF: jax.Array) -> Any:
        loss = lambda x_BTD, kernel_DF: (linear(x_BTD, kernel_DF, None) ** 2).sum()  # noqa: E731
        return jax.value_and_grad(loss, (0, 1))(x_BTD, kernel_DF)

    expected = value_and_gradients(x_BTD, kernel_DF)
    with jax.set_mesh(mesh):
        placed = jax.device_put(x_BTD, NamedSharding(mesh, P("data", "context")))
        program = jax.jit(value_and_gradients).lower(placed, kernel_DF).compile()
        found = program(placed, jax.device_put(kernel_DF, NamedSharding(mesh, P())))
    assert set(collectives(program.as_text())) == {"all-reduce"}
    jax.tree.map(lambda ours, theirs: np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-5), found, expected)


def test_tokens_are_merged_on_one_device() -> None:
    x_BTD = jnp.ones((4, 8, 16))
    assert rows(x_BTD).shape == (32, 16)
    with jax.set_mesh(sharding.make_mesh(MeshConfig(data=1))):
        assert rows(x_BTD).shape == (32, 16)
    with jax.set_mesh(sharding.make_mesh(MeshConfig(data=4))):
        assert rows(x_BTD).shape == (4, 8, 16)
