"""The JAX half of our pairs: the functions that users' training and generation run, as a `Candidate`."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any
from unittest import mock

import jax
import jax.numpy as jnp
import numpy as np
import optax

import jaxdec.layers.dropout
from jaxdec.config.model import EncoderDecoderConfig
from jaxdec.config.run import MeshConfig, RunConfig
from jaxdec.distributed.sharding import make_mesh
from jaxdec.generation.generate import generate
from jaxdec.generation.sampling import Sampling
from jaxdec.models.functional import Model, Params
from jaxdec.models.output import Output
from jaxdec.parity.adapters.candidate import Candidate, JaxBatch
from jaxdec.parity.adapters.probe import Probe
from jaxdec.parity.adapters.taps import nnx_probe
from jaxdec.parity.pairs.run import TwinRun, params_dtype
from jaxdec.parity.setting import Arrays
from jaxdec.parity.sides.weights import as_float64, generic_weights
from jaxdec.training import optim
from jaxdec.training.learner import Learner, trainable_names
from jaxdec.training.loop import make_run_steps, train_step
from jaxdec.training.objectives import objective_of
from jaxdec.training.state import new_state

KEEP_GRADIENTS = optax.GradientTransformation(  # an optimizer that keeps the gradients and changes nothing
    lambda params: jax.tree.map(jnp.zeros_like, params),
    lambda updates, state, params=None: (jax.tree.map(jnp.zeros_like, updates), updates),
)


class JaxTwin:
    """Programs are compiled once for each precision."""

    def __init__(self, run: TwinRun) -> None:
        self.run, self.objective = run, objective_of(run.config.resolved_stage)

    @functools.cache  # noqa: B019 - lives as long as its pair
    def model(self, precision: str) -> Model:
        config = self.run.at(precision)
        return Model.of(config)

    def learner(self, precision: str, optimizer: optax.GradientTransformation) -> Learner:
        model = self.model(precision)
        return Learner(model, optimizer, self.objective, trainable_names(self.run.config.trainable, model.axes))

    def candidate(self) -> Candidate:
        config = self.run.config
        return Candidate(
            shapes=self.model("float32").shapes(),
            run=self.read,
            loss=self.mean_loss,
            aux=lambda output: sum(output.aux.values()),
            optimizer=optim.make_optimizer(config.optim, config.decay_steps),
            params_dtype=params_dtype,
            gradients=lambda params, batch, precision: self.gradients(params, batch, precision, 1),
            train=self.train,
            generate=None if isinstance(config.model, EncoderDecoderConfig) else self.generate,
        )

    def read(self, params: Params, batch: JaxBatch, precision: str, probe: Probe) -> Output:
        model = self.model(precision)
        trained, frozen = self.learner(precision, KEEP_GRADIENTS).split(params)
        module = model.module({**jax.lax.stop_gradient(frozen), **trained})
        with nnx_probe(module, probe):
            return module(
                batch["tokens"].reshape(-1, batch["tokens"].shape[-1]),  # of pairs: their sequences
                jnp.dtype(model.precision.compute),
                **{name: batch[name] for name in model.inputs},
            )

    def mean_loss(self, output: Output, batch: Mapping[str, jax.Array]) -> jax.Array:
        """The loss of an output that is there already."""
        total, _ = self.objective.loss(lambda *_, **__: output, {}, batch, jax.random.key(0))
        return total / jnp.asarray(self.objective.count(batch), total.dtype)

    def initial(self, seed: int) -> Arrays:
        """What the model initialises itself with, in float32."""
        with jax.enable_x64(False):
            return as_float64(self.initial_program()(jax.random.key(seed)))

    @functools.cache  # noqa: B019
    def initial_program(self) -> Callable[..., Any]:
        return jax.jit(self.model("float32").init)

    def generic(self, seed: int) -> Arrays:
        """Generic weights. A token table that is multiplied by sqrt(D) is drawn smaller by that: otherwise the first
        softmax would saturate, and Adam's first step divide gradients of the size of its epsilon."""
        weights = generic_weights(self.model("float32").shapes(), seed)
        if isinstance(self.run.model, EncoderDecoderConfig):
            table = weights["token_embed.embedding"]
            weights["token_embed.embedding"] = (table / table.shape[1] ** 0.5).astype(np.float32).astype(np.float64)
        return weights

    def gradients(self, params: Params, batch: JaxBatch, precision: str, parts: int) -> tuple[jax.Array, Params]:
        """From the train step itself, the batch in `parts` microbatches."""
        return kept(
            self.learner(precision, KEEP_GRADIENTS), self.gradient_program(precision), params, split(batch, parts)
        )

    @functools.cache  # noqa: B019
    def gradient_program(self, precision: str) -> Callable[..., Any]:
        return jax.jit(functools.partial(train_step, self.learner(precision, KEEP_GRADIENTS)))

    def dropped_gradients(
        self, params: Params, batch: JaxBatch, masks: Sequence[np.ndarray], precision: str
    ) -> tuple[jax.Array, Params]:
        """With the masks of dropout taken from `masks` in the order of their use."""

        def program(*inputs: Any) -> Any:
            return self.dropping_program(precision)(masks, *inputs)

        return kept(self.learner(precision, KEEP_GRADIENTS), program, params, split(batch, 1))

    @functools.cache  # noqa: B019
    def dropping_program(self, precision: str) -> Callable[..., Any]:
        def step(masks: Sequence[jax.Array], *inputs: Any) -> Any:
            left = iter(masks)

            def next_mask(key: jax.Array, rate: float, shape: tuple[int, ...]) -> jax.Array:
                return next(left)

            with mock.patch.object(jaxdec.layers.dropout, "keep_mask", next_mask):
                result = train_step(self.learner(precision, KEEP_GRADIENTS), *inputs)
            assert next(left, None) is None, "fewer masks were used than there are places to drop"
            return result

        return jax.jit(step)

    @functools.cache  # noqa: B019
    def dropping(self, rate: float) -> JaxTwin:
        """The same model with dropout."""
        config = self.run.config
        if config.lora is not None:
            config = replace(config, trainable=replace(config.lora, dropout=rate))
        return JaxTwin(TwinRun(replace(config, model=replace(config.model, dropout=rate))))  # type: ignore[call-arg]

    def train(
        self, start: Params, batches: Sequence[JaxBatch], marks: Sequence[int], precision: str
    ) -> tuple[np.ndarray, dict[int, Params]]:
        """By the program that `jaxdec train` runs; as many steps a dispatch as lie between marks."""
        optimizer, run_steps = self.training_program(precision)
        params = jax.tree.map(jnp.copy, start)  # the program donates its state
        state = new_state(self.learner(precision, optimizer), params)
        slots, losses, reached, done = len(batches), [], {}, 0
        for mark in marks:
            parts = [split(batch, 1) for batch in batches[done:mark]]
            parts += [split(batches[0], 1)] * (slots - len(parts))  # one shape, one program
            stacked = {name: np.stack([part[name] for part in parts]) for name in parts[0]}
            state, metrics = run_steps(state, stacked, jnp.int32(mark - done), jax.random.key(0))
            losses.append(np.asarray(metrics["loss"][: mark - done], np.float64))
            reached[mark], done = jax.tree.map(jnp.copy, state["params"]), mark
        return np.concatenate(losses), reached

    @functools.cache  # noqa: B019
    def training_program(self, precision: str) -> tuple[Any, Callable[..., Any]]:
        config: RunConfig = self.run.at(precision)
        optimizer = optim.make_optimizer(config.optim, config.decay_steps)
        return optimizer, make_run_steps(self.learner(precision, optimizer), make_mesh(MeshConfig(data=1)))

    def generate(
        self,
        params: Params,
        prompts: Sequence[np.ndarray],
        count: int,
        precision: str,
        sampling: Sampling | None = None,
        seed: int = 0,
    ) -> list[np.ndarray]:
        """In one batch, with the KV cache; the most likely tokens unless `sampling` says otherwise."""
        return generate(
            self.model(precision),
            params,
            list(prompts),
            max_tokens=count,
            sampling=sampling or Sampling(temperature=0.0),
            key=jax.random.key(seed),
        )


def kept(learner: Learner, program: Callable[..., Any], params: Params, batch: JaxBatch) -> tuple[jax.Array, Params]:
    """Loss and gradients from a train step whose optimizer is KEEP_GRADIENTS; zeros for what is frozen."""
    state, metrics = program(new_state(learner, params), batch, jax.random.key(0))
    return metrics["loss"], {name: state["opt"].get(name, jnp.zeros_like(param)) for name, param in params.items()}


def split(batch: JaxBatch, parts: int) -> dict[str, Any]:
    """[B, ...] -> [A, B/A, ...]."""
    return {name: leaf.reshape(parts, -1, *leaf.shape[1:]) for name, leaf in batch.items()}
