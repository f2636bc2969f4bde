"""What the tests of the models before the decoder share: weights of size one in float64, and caches with pads."""

from __future__ import annotations

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxdec.config.model import AnyModel
from jaxdec.config.run import Precision
from jaxdec.layers.attention.cache import empty_cache
from jaxdec.models.functional import Model, Params
from tests import tiny

DOUBLE = Precision("float64", "float64")


def double(config: AnyModel) -> tuple[Model, Params]:
    """The model in float64, with generic parameters. To be called in 64-bit mode."""
    model = Model(config, DOUBLE)
    return model, tiny.generic_params(model)


@partial(jax.jit, static_argnums=0)
def logits(model: Model, params: Params, ids: np.ndarray, key: jax.Array | None = None) -> jax.Array:
    """[B,T,V], compiled: operation by operation the models are slow to start."""
    return model.apply(params, ids, key=key).logits_BTV


def check_init(config: AnyModel, expected: dict[str, tuple[tuple[int, ...], float]]) -> None:
    """Names and shapes of all parameters, and the standard deviations of those that are drawn."""
    params = jax.jit(Model(config, Precision()).init)(jax.random.key(0))
    drawn = {name for name in params if name.rpartition(".")[2] in ("kernel", "embedding")}
    assert drawn == set(expected)
    for name, (shape, std) in expected.items():
        assert params[name].shape == shape, name
        assert abs(float(params[name].std()) / std - 1) < 0.1, name
        assert abs(float(params[name].mean())) < std / 5, name
    for name in set(params) - drawn:
        assert bool(jnp.all(params[name] == (1 if name.endswith("scale") else 0))), name


def check_cache(config: AnyModel, padding: list[int], cut: int) -> None:
    """Rows padded on the left and read in two parts, the first `cut` slots long, equal each row read alone."""
    model, params = double(config)
    ids, slots = tiny.tokens(len(padding), 5, seed=cut), max(padding) + 5
    padded = np.zeros((len(padding), slots), np.int32)
    for row, pad in enumerate(padding):
        padded[row, pad : pad + 5] = ids[row]
    cache: Any = empty_cache(config, jnp.asarray(padding), slots, jnp.dtype("float64"))
    parts, apply = [], jax.jit(model.apply)
    for part in (padded[:, :cut], padded[:, cut:]):
        output = apply(params, part, cache=cache)
        cache = output.cache
        parts.append(output.logits_BTV)
    assert int(cache.length) == slots
    joined, alone = np.concatenate(parts, axis=1), logits(model, params, ids)
    for row, pad in enumerate(padding):
        np.testing.assert_allclose(joined[row, pad : pad + 5], alone[row], rtol=1e-11, atol=1e-12)


def seen(config: AnyModel, length: int) -> np.ndarray:
    """Whether the logits at t change with the token at s, bool [T,S]; unchanged ones must keep every bit."""
    model, params = double(config)
    ids = tiny.tokens(1, length)
    base, changed = np.asarray(logits(model, params, ids)[0]), []
    for position in range(length):
        other = ids.copy()
        other[0, position] = (other[0, position] + 1) % config.vocab_size
        changed.append(np.any(np.asarray(logits(model, params, other)[0]) != base, axis=-1))
    return np.stack(changed, axis=1)


def softmax(scores: np.ndarray) -> np.ndarray:
    powers = np.exp(scores)
    return powers / powers.sum()


def head_by_hand(x_TD: np.ndarray, query_DC: Any, key_DC: Any, value_DC: Any) -> np.ndarray:
    """One causal head, query by query: [T,C]."""
    q_TC, k_SC, v_SC = (x_TD @ np.asarray(kernel) for kernel in (query_DC, key_DC, value_DC))
    rows = [
        softmax(k_SC[: query + 1] @ q_TC[query] / q_TC.shape[1] ** 0.5) @ v_SC[: query + 1]
        for query in range(len(x_TD))
    ]
    return np.stack(rows)


def embedded(params: Params, ids_T: np.ndarray) -> np.ndarray:
    """Token and position vectors, added: [T,D]."""
    positions = np.asarray(params["position_embed.embedding"])
    return np.asarray(params["token_embed.embedding"])[ids_T] + positions[: len(ids_T)]
