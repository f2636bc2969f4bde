"""What `jaxdec` computes for a case, as numpy arrays under jaxdec's names.

`torch_side` has the same functions for `torchref`. Results are kept: the tests of seeded bugs compare many broken
twins with one right JAX side.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from unittest import mock

import jax
import jax.numpy as jnp
import numpy as np
import optax

import jaxdec.layers.dropout
from jaxdec import optim
from jaxdec.config import MeshConfig, OptimConfig
from jaxdec.generate import generate
from jaxdec.losses import language_loss
from jaxdec.models.functional import Model
from jaxdec.parity.taps import nnx_taps
from jaxdec.parity.weights import as_float64, generic_weights
from jaxdec.sampling import Sampling
from jaxdec.sharding import make_mesh
from jaxdec.train import make_run_steps, train_step
from parity_tests.cases import MARKS, STEPS, Batch, Case

Arrays = dict[str, np.ndarray]


@contextmanager
def native(case: Case) -> Iterator[None]:
    """float64 is switched on for float64 cases alone: with it, JAX computes schedules and bias corrections of a float32
    run in float64, which no user's run does."""
    with jax.enable_x64(case.config.precision.compute == "float64"):
        yield


def model_of(case: Case) -> Model:
    return Model(case.config.model, case.config.precision)


@functools.cache
def weights(case: Case) -> Arrays:
    """The case's initial weights in float64, the same in every precision."""
    if case.regime == "generic":
        return generic_weights(model_of(case).shapes(), case.seed)
    return initial(case.at("float32"))


@functools.cache
def initial(case: Case) -> Arrays:
    """What the model initialises itself with."""
    with native(case):
        return as_float64(jax.jit(model_of(case).init)(jax.random.key(case.seed)))


def params_of(case: Case) -> dict[str, jax.Array]:
    return {name: jnp.asarray(value, case.config.precision.params) for name, value in weights(case).items()}


@functools.cache
def forward(case: Case) -> Arrays:
    """Every submodule's output by path, and the logits."""
    with native(case):
        return numpy(forward_program(model_of(case))(params_of(case), case.batches(1)[0]["tokens"]))


@functools.cache  # both regimes of a model share its compiled programs
def forward_program(model: Model) -> Callable[..., dict[str, jax.Array]]:
    def run(params: dict[str, jax.Array], tokens: jax.Array) -> dict[str, jax.Array]:
        module = model.module(params)
        with nnx_taps(module) as record:
            output = module(tokens, jnp.dtype(model.precision.compute))
        return {**record, "logits": output.logits_BTV}

    return jax.jit(run)


@functools.cache
def loss_and_gradients(case: Case, parts: int = 1) -> tuple[float, Arrays]:
    """From the train step itself, with an optimizer that keeps the gradients and changes nothing."""
    with native(case):
        return run_gradients(gradient_program(model_of(case)), case, parts)


@functools.cache
def gradient_program(model: Model) -> Callable[..., Any]:
    return jax.jit(functools.partial(train_step, model, KEEP_GRADIENTS, language_loss))


KEEP_GRADIENTS = optax.GradientTransformation(
    lambda params: jax.tree.map(jnp.zeros_like, params),
    lambda updates, state, params=None: (jax.tree.map(jnp.zeros_like, updates), updates),
)


def run_gradients(program: Callable[..., Any], case: Case, parts: int) -> tuple[float, Arrays]:
    params = params_of(case)
    state = {"step": jnp.zeros((), jnp.int32), "params": params, "opt": KEEP_GRADIENTS.init(params)}
    state, metrics = program(state, split(case.batches(1)[0], parts), jax.random.key(0))
    return float(metrics["loss"]), numpy(state["opt"])


@functools.cache
def learning_rates(case: Case) -> np.ndarray:
    """The rate of every step of the run, and of some after it."""
    rate = functools.partial(optim.learning_rate, case.config.optim, case.config.decay_steps)
    with native(case):
        return np.asarray(jax.vmap(rate)(jnp.arange(STEPS + 10)), np.float64)


@functools.cache
def optimizer_updates(case: Case) -> Arrays:
    """What the optimizer adds to the parameters, given the case's made-up gradients one after the other."""
    with native(case):
        optimizer = optim.make_optimizer(case.config.optim, case.config.decay_steps)
        start = params_of(case)
        params: Any = start
        state = optimizer.init(params)
        update = jax.jit(optimizer.update)
        for given in case.gradients(start):
            grads = {name: jnp.asarray(value, start[name].dtype) for name, value in given.items()}
            updates, state = update(grads, state, params)
            params = optax.apply_updates(params, updates)
        return difference(params, start)


@functools.cache
def trajectory(case: Case) -> tuple[np.ndarray, dict[int, Arrays]]:
    """The loss of every step of a training run, and the change of the parameters up to each mark."""
    with native(case):
        optimizer, run_steps = training_program(model_of(case), case.config.optim, case.config.decay_steps)
        start = params_of(case)
        params = jax.tree.map(jnp.copy, start)  # the program is given its state for good
        state = {"step": jnp.zeros((), jnp.int32), "params": params, "opt": optimizer.init(params)}
        batches = case.batches(STEPS)
        losses, updates, done = [], {}, 0
        for mark in MARKS:
            slots = [split(batch, 1) for batch in batches[done:mark]] + [split(batches[0], 1)] * (STEPS - mark + done)
            stacked = {name: np.stack([slot[name] for slot in slots]) for name in slots[0]}
            state, metrics = run_steps(state, stacked, jnp.int32(mark - done), jax.random.key(0))
            losses.append(np.asarray(metrics["loss"][: mark - done], np.float64))
            updates[mark], done = difference(state["params"], start), mark
        return np.concatenate(losses), updates


@functools.cache
def training_program(model: Model, config: OptimConfig, decay_steps: int) -> tuple[Any, Callable[..., Any]]:
    optimizer = optim.make_optimizer(config, decay_steps)
    return optimizer, make_run_steps(model, optimizer, language_loss, make_mesh(MeshConfig(data=1)))


@functools.cache
def generated(case: Case, count: int, settings: tuple[tuple[str, Any], ...]) -> list[np.ndarray]:
    """`count` new tokens of each prompt, in one batch, with the KV cache; `settings` are fields of `Sampling`."""
    sampling = Sampling(**dict(settings))
    with native(case):
        return generate(
            model_of(case),
            params_of(case),
            case.prompts(),
            max_tokens=count,
            sampling=sampling,
            key=jax.random.key(case.seed),
        )


def gumbel_noise(case: Case, count: int) -> list[np.ndarray]:
    """The noise with which `generated` draws, [count, V] for each prompt."""
    key, noise = jax.random.key(case.seed), []
    with native(case):
        for row, prompt in enumerate(case.prompts()):
            keys = [jax.random.fold_in(jax.random.fold_in(key, prompt.size + n), row) for n in range(count)]
            noise.append(np.stack([jax.random.gumbel(k, (case.vocab_size,)) for k in keys]))
    return noise


def split(batch: Batch, parts: int) -> Batch:
    """[B, ...] -> [A, B/A, ...]."""
    return {name: leaf.reshape(parts, -1, *leaf.shape[1:]) for name, leaf in batch.items()}


def numpy(tree: dict[str, jax.Array]) -> Arrays:
    return {name: np.asarray(value, np.float64) for name, value in tree.items()}


def difference(params: dict[str, jax.Array], start: dict[str, jax.Array]) -> Arrays:
    return {name: np.asarray(params[name], np.float64) - np.asarray(start[name], np.float64) for name in start}


def dropped_loss_and_gradients(case: Case) -> tuple[float, Arrays]:
    """With dropout on, its masks taken from the case in the order of their use."""
    case = case.with_dropout()
    masks = iter(case.keep_masks())

    def next_mask(key: jax.Array, rate: float, shape: tuple[int, ...]) -> np.ndarray:
        return next(masks)[1]

    with native(case), mock.patch.object(jaxdec.layers.dropout, "keep_mask", next_mask):
        program = jax.jit(functools.partial(train_step, model_of(case), KEEP_GRADIENTS, language_loss))
        result = run_gradients(program, case, 1)
    assert next(masks, None) is None, "fewer masks were used than there are places to drop"
    return result
