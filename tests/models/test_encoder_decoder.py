"""The encoder-decoder: what it may see, and that every setting has an effect. Its values are held against torch's in
`parity_tests`."""

from __future__ import annotations

from dataclasses import fields, replace
from functools import cache
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdec.config.model import EncoderDecoderConfig
from jaxdec.config.parts import MLP, GatedMLP, LayerNorm, RMSNorm
from jaxdec.config.positions import Learned, Sinusoidal
from jaxdec.config.run import Precision
from jaxdec.models.functional import Model
from tests import tiny
from tests.encoder_decoders import DEEP, MODELS, PAPER, pair_batch

WINDOW, SOURCE = 7, 12
PRECISION = Precision()


def batch(seed: int = 0) -> dict[str, np.ndarray]:
    return pair_batch(4, WINDOW, SOURCE, 23, np.random.default_rng(seed))


def logits(config: EncoderDecoderConfig, inputs: dict[str, np.ndarray]) -> np.ndarray:
    model = Model(config, PRECISION)
    return np.asarray(read(model)(tiny.generic_params(model), inputs))


@cache
def read(model: Model):
    return jax.jit(lambda params, inputs: model.read(params, inputs).logits_BTV)


@pytest.mark.parametrize("config", MODELS.values(), ids=MODELS)
def test_an_output_sees_the_target_up_to_its_place_and_the_whole_source(config: EncoderDecoderConfig):
    inputs = batch()
    reached = logits(config, inputs)
    for name, place in (("tokens", 4), ("source", SOURCE - 1)):
        changed = {**inputs, name: inputs[name].copy()}
        changed[name][-1, place] = (changed[name][-1, place] + 1) % 23  # the last row's source has no pads
        differs_T = np.any(logits(config, changed)[-1] != reached[-1], axis=-1)
        assert differs_T.tolist() == [name == "source" or t >= place for t in range(WINDOW)]


@pytest.mark.parametrize("config", MODELS.values(), ids=MODELS)
def test_pads_of_the_source_are_not_seen(config: EncoderDecoderConfig):
    inputs = batch()
    source = np.where(inputs["source_mask"] > 0, inputs["source"], 5)
    np.testing.assert_array_equal(logits(config, {**inputs, "source": source}), logits(config, inputs))
    counts = inputs["source_mask"].sum(-1).astype(int)
    alone = {name: leaf[1:2] for name, leaf in inputs.items()}
    alone |= {name: alone[name][:, : counts[1]] for name in ("source", "source_mask")}
    np.testing.assert_allclose(logits(config, alone), logits(config, inputs)[1:2], rtol=1e-3, atol=1e-4)


def test_a_row_of_nothing_but_pads_is_finite():
    """As rows that fill up a batch are."""
    inputs = batch()
    assert np.all(np.isfinite(logits(PAPER, {**inputs, "source_mask": np.zeros_like(inputs["source_mask"])})))


CHANGES: dict[str, Any] = {
    "layers": 3,
    "heads": 2,
    "width": 16,
    "context": 20,
    "vocab_size": 24,
    "position": Sinusoidal(base=50.0),
    "norm": LayerNorm(epsilon=1e-2),
    "norm_place": "pre",
    "mlp": MLP(activation="gelu"),
    "bias": False,
    "tied_head": False,
    "dropout": 0.5,
    "init_std": 0.1,
}


@pytest.mark.parametrize("name", [field.name for field in fields(EncoderDecoderConfig)])
def test_every_setting_has_an_effect(name: str):
    """On the parameters that a model has, or on what it computes in training."""
    base = replace(PAPER, position=Learned()) if name == "context" else PAPER
    changed = replace(base, **{name: CHANGES[name]})
    if Model(base, PRECISION).shapes() == Model(changed, PRECISION).shapes():  # else the effect is seen already
        assert np.any(trained_on(base) != trained_on(changed))


@cache
def trained_on(config: EncoderDecoderConfig) -> np.ndarray:
    """The logits of a fresh model in training."""
    model = Model(config, PRECISION)

    @jax.jit
    def run(inputs: dict[str, jax.Array]) -> jax.Array:
        return model.read(model.init(jax.random.key(0)), inputs, key=jax.random.key(1)).logits_BTV

    return np.asarray(run(batch()))


def test_other_parts_run():
    config = replace(DEEP, mlp=GatedMLP(hidden=20), position=Learned(), norm=RMSNorm())
    names = Model(config, PRECISION).shapes()
    assert {"source_position_embed.embedding", "position_embed.embedding", "decoder.1.mlp.gate.kernel"} <= names.keys()
    assert not {"encoder_norm.scale", "head.kernel"} & names.keys()


def test_an_embedding_has_the_size_of_the_sinusoids():
    """Drawn with std 1 / sqrt(D), times sqrt(D)."""
    model = Model(replace(DEEP, width=64, vocab_size=500, init_std=64**-0.5), PRECISION)
    params = model.init(jax.random.key(0))
    ids = np.arange(500, dtype=np.int32)[:, None]
    x_BTD = model.module(params).embed(ids, jnp.zeros((1, 1), int), jnp.dtype("float32"), source=True)
    assert float(jnp.std(x_BTD)) == pytest.approx(np.sqrt(1 + 0.25), rel=0.05)  # position 0: sin 0, cos 1
