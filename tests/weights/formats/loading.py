"""What tests of formats share: models with random weights, and the logits of stored ones in float64."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxdec.config.model import DecoderConfig
from jaxdec.config.run import Precision
from jaxdec.models.functional import Model
from jaxdec.weights.formats.base import StoredModel
from jaxdec.weights.formats.registry import open_model, write_model
from jaxdec.weights.stream import our_tensors

TOKENS = np.array([[3, 1, 4, 1, 5, 9, 2, 6], [2, 7, 1, 8, 2, 8, 1, 8]])
FLOAT64 = Precision(params="float64", compute="float64")


def shapes(config: DecoderConfig) -> dict[str, Any]:
    return Model(config, Precision()).shapes()


def random_params(config: DecoderConfig, dtype: Any = np.float32) -> dict[str, np.ndarray]:
    """Normal numbers everywhere, biases and norms too: what is not carried over shows."""
    rng = np.random.default_rng(0)
    return {
        name: (rng.normal(size=shape.shape) * 0.3 + ("scale" in name)).astype(dtype)
        for name, shape in shapes(config).items()
    }


def params_of(model: StoredModel) -> dict[str, np.ndarray]:
    return dict(our_tensors(model.rules, model.tensors, shapes(model.config), str(model.place)))


def logits_of(model: StoredModel, tokens: np.ndarray = TOKENS) -> np.ndarray:
    """float64 [B,T,V]."""
    with jax.enable_x64(True), jax.default_matmul_precision("highest"):
        params = {name: jnp.asarray(array.astype(np.float64)) for name, array in params_of(model).items()}
        apply = jax.jit(Model(model.config, FLOAT64).apply)
        return np.asarray(apply(params, jnp.asarray(tokens)).logits_BTV)


def there_and_back(name: str, path: Path, config: DecoderConfig, dtype: Any = np.float32) -> StoredModel:
    """Random weights written and read again, equal bit for bit; the model that was read."""
    params = random_params(config, dtype)
    write_model(name, path, params, config)
    model = open_model(path)
    assert model.format == name
    assert_equal(params_of(model), params)
    return model


def assert_equal(found: dict[str, np.ndarray], wanted: dict[str, np.ndarray]) -> None:
    assert set(found) == set(wanted)
    for key, array in wanted.items():
        assert found[key].dtype == array.dtype and found[key].shape == array.shape, key
        assert found[key].tobytes() == array.tobytes(), key
