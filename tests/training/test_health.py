"""The update ratio: the norm of what a step adds over the norm of what it is added to."""

from __future__ import annotations

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxdec.training.health import group_of, update_ratios
from jaxdec.training.learner import Learner
from jaxdec.training.loop import train_step
from jaxdec.training.losses import LANGUAGE
from jaxdec.training.state import new_state
from tests import tiny


def test_ratios_by_hand():
    params = {
        "head.kernel": jnp.array([[3.0, 4.0]]),  # norm 5
        "blocks.0.mlp.up.kernel": jnp.array([0.0, 12.0]),  # with the other of its block, norm 12
        "blocks.0.mlp.up.bias": jnp.zeros(2),
        "blocks.0.lora": jnp.zeros(2),
        "classifier.bias": jnp.zeros(2, jnp.bfloat16),
    }
    updates = {name: jnp.zeros_like(param) for name, param in params.items()}
    updates |= {"head.kernel": jnp.array([[0.5, 0.0]]), "blocks.0.lora": jnp.array([0.0, 1.2])}
    updates |= {"classifier.bias": jnp.ones(2, jnp.bfloat16)}
    found = {name: float(value) for name, value in update_ratios(params, updates).items()}
    assert found == pytest.approx(
        {
            "update_ratio": (0.25 + 1.44 + 2) ** 0.5 / 13,
            "update_ratio/head": 0.1,
            "update_ratio/blocks.0": 0.1,
            "update_ratio/classifier": 0.0,  # nothing to compare with: not infinite, which would end the run
        }
    )


def test_a_group_is_a_block_or_what_stands_outside_of_them():
    assert [group_of(name) for name in ("blocks.11.attention.query.kernel", "final_norm.scale", "bigram")] == [
        "blocks.11",
        "final_norm",
        "bigram",
    ]


def test_a_step_reports_the_update_that_it_makes_and_only_where_it_is_asked():
    """Against the parameters before and after; a frozen parameter is no part of it."""
    model = tiny.model(layers=1, tied_head=False)
    trained = frozenset(name for name in model.axes if not name.startswith("token_embed"))
    learner = Learner(model, optax.sgd(0.1), LANGUAGE, trained, updates=True)
    before = new_state(learner, tiny.generic_params(model))
    batch = {name: leaf.reshape(1, 2, 8) for name, leaf in tiny.batch(2, 8).items()}
    step = jax.jit(train_step, static_argnums=0)
    after, metrics = step(learner, before, batch, jax.random.key(0))
    assert not any("token_embed" in name for name in metrics)
    norms = {
        name: [float(sum(np.sum(np.square(tree[each])) for each in trained if name in (None, group_of(each))) ** 0.5)
               for tree in (jax.tree.map(lambda a, b: a - b, after["params"], before["params"]), before["params"])]
        for name in (None, "blocks.0", "final_norm", "head")
    }  # fmt: skip
    for name, (change, size) in norms.items():
        assert metrics["update_ratio" + (f"/{name}" if name else "")] == pytest.approx(change / size, rel=1e-3)
    silent = replace(learner, updates=False)
    assert set(jax.eval_shape(lambda: train_step(silent, before, batch, jax.random.key(0)))[1]) == {
        "loss", "gradient_norm"
    }  # fmt: skip
