"""The decoder: names, shapes, initialisation, dropout, precision."""

from __future__ import annotations

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdec.config.positions import Learned
from jaxdec.config.run import Precision
from jaxdec.errors import UserError
from tests import tiny

BLOCK = [
    "attention_norm.scale",
    "attention_norm.bias",
    "attention.query.kernel",
    "attention.query.bias",
    "attention.key.kernel",
    "attention.key.bias",
    "attention.value.kernel",
    "attention.value.bias",
    "attention.out.kernel",
    "attention.out.bias",
    "mlp_norm.scale",
    "mlp_norm.bias",
    "mlp.up.kernel",
    "mlp.up.bias",
    "mlp.down.kernel",
    "mlp.down.bias",
]


def test_parameters_are_a_flat_dict_of_module_paths():
    shapes = tiny.model().shapes()
    expected = {f"blocks.{block}.{name}" for block in range(2) for name in BLOCK}
    expected |= {"token_embed.embedding", "position_embed.embedding", "final_norm.scale", "final_norm.bias"}
    assert set(shapes) == expected
    assert shapes["blocks.0.mlp.up.kernel"].shape == (16, 64)
    assert set(tiny.model(tied_head=False).shapes()) - expected == {"head.kernel"}
    assert not any(name.endswith("bias") for name in tiny.model(bias=False).shapes())


def test_a_classifier_takes_the_place_of_the_head():
    model, plain = tiny.model(classes=3, logit_scale=2.0, logit_softcap=0.5), tiny.model()
    assert set(model.shapes()) - set(plain.shapes()) == {"classifier.kernel", "classifier.bias"}
    assert set(tiny.model(classes=3, tied_head=False).shapes()) == set(model.shapes())
    params, ids = tiny.generic_params(model), tiny.tokens(2, 8)
    logits_BTV = model.apply(params, ids).logits_BTV
    assert logits_BTV.shape == (2, 8, 3) and logits_BTV.dtype == jnp.float32
    assert float(jnp.abs(logits_BTV).max()) > 0.5, "neither scaled nor capped as the head's are"
    one = {**params, "classifier.kernel": jnp.zeros((16, 3)), "classifier.bias": jnp.arange(3.0)}
    np.testing.assert_array_equal(model.apply(one, ids).logits_BTV[1, 4], [0, 1, 2])
    with pytest.raises(UserError, match=r"model.classes is 1: a classifier tells at least 2 classes apart"):
        tiny.model(classes=1)


def test_initialisation_is_gpt2s():
    model = tiny.model(width=128, heads=4, vocab_size=400, context=300, layers=4, position=Learned(init_std=0.01))
    params = model.init(jax.random.key(0))
    stds = {
        "token_embed.embedding": 0.02,
        "position_embed.embedding": 0.01,
        "blocks.1.attention.query.kernel": 0.02,
        "blocks.1.attention.out.kernel": 0.02 / 8**0.5,
        "blocks.3.mlp.down.kernel": 0.02 / 8**0.5,
    }
    for name, std in stds.items():
        assert float(params[name].std()) == pytest.approx(std, rel=0.05), name
        assert abs(float(params[name].mean())) < std / 20, name
    assert all(bool(jnp.all(params[name] == 1)) for name in params if name.endswith("scale"))
    assert all(bool(jnp.all(params[name] == 0)) for name in params if name.endswith("bias"))
    assert not np.array_equal(params["blocks.0.attention.query.kernel"], params["blocks.0.attention.key.kernel"])


def test_logits_of_a_prefix_do_not_change_when_the_text_goes_on():
    model = tiny.model()
    params, ids = tiny.generic_params(model), tiny.tokens(3, 8)
    whole = model.apply(params, ids).logits_BTV
    np.testing.assert_allclose(whole[:, :5], model.apply(params, ids[:, :5]).logits_BTV, rtol=1e-5, atol=1e-5)


def test_dropout_needs_a_key_and_follows_it():
    model = tiny.model(dropout=0.5)
    params, ids = tiny.generic_params(model), tiny.tokens(2, 8)
    still = tiny.model(dropout=0.0).apply(params, ids).logits_BTV
    np.testing.assert_array_equal(model.apply(params, ids).logits_BTV, still)
    one, again, two = (model.apply(params, ids, key=jax.random.key(k)).logits_BTV for k in (1, 1, 2))
    np.testing.assert_array_equal(one, again)
    assert not np.allclose(one, two)


@pytest.mark.parametrize("compute", ["float32", "bfloat16"])
def test_logits_are_at_least_float32(compute: str):
    model = tiny.model(Precision(compute=compute))
    params = tiny.generic_params(model)
    logits = model.apply(params, tiny.tokens(2, 8)).logits_BTV
    assert logits.dtype == jnp.float32
    full = tiny.model().apply(params, tiny.tokens(2, 8)).logits_BTV
    assert np.abs(logits - full).max() < (1e-6 if compute == "float32" else 0.2)
    assert compute == "float32" or np.abs(logits - full).max() > 0


def test_models_with_equal_configs_are_equal():
    assert tiny.model() == tiny.model() and hash(tiny.model()) == hash(tiny.model())
    assert tiny.model() != replace(tiny.model(), config=replace(tiny.MODEL, layers=3))


def test_float64_without_64_bit_mode_is_refused_rather_than_rounded():
    with pytest.raises(UserError, match="JAX_ENABLE_X64"):
        tiny.model(Precision(compute="float64"))
    with jax.enable_x64(True):
        model = tiny.model(Precision(params="float64", compute="float64"))
        logits = model.apply(model.init(jax.random.key(0)), tiny.tokens(2, 8)).logits_BTV
    assert logits.dtype == np.float64
