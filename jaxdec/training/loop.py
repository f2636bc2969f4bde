"""THE train step and the only loop around it.

One dispatch of the compiled program runs several steps: a fresh call for every step would allocate, and page-fault, all
temporaries anew, which costs small models a third of their time on a CPU. The number of steps in a dispatch is an
argument of one program, not a shape, so a run cut at any step computes the same bits as one that was not. Numbers are
read one dispatch late, so that the device never waits for the host.

The loop writes no files: it yields its numbers, and passes states that are to be kept to a `Saver`. `fit.py` runs it
with a run directory.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any, NamedTuple, Protocol, cast

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.sharding import Mesh

from jaxdec.checkpoints.checkpoints import Checkpoints
from jaxdec.config.run import RunConfig
from jaxdec.data.batches import Batch
from jaxdec.distributed.sharding import batch_shards, make_mesh, shares_threads
from jaxdec.models.functional import Params
from jaxdec.runs.reference import require_reference
from jaxdec.training.health import update_ratios
from jaxdec.training.learner import Learner, make_learner
from jaxdec.training.reporting import LateMetrics, LogLine
from jaxdec.training.schedule import is_evaluated, is_saved, next_stop
from jaxdec.training.stage import Evaluator, Stage, dispatch_batches, microbatches, require_whole_rollouts
from jaxdec.training.state import State, abstract_state, create_state, state_from, state_shardings
from jaxdec.training.throughput import Throughput


def train_step(learner: Learner, state: State, batch: Batch, key: jax.Array) -> tuple[State, dict[str, jax.Array]]:
    """One update from a global batch whose leaves are [A, B/A, ...]: A microbatches, accumulated.

    Every microbatch's sum is divided by the count of the *whole* batch, so that the gradient does not depend on how
    the batch is cut. Keys of dropout depend on `key`, the step and the microbatch alone. Only the trained parameters
    are differentiated; frozen ones are constants, and come back as they were.
    """
    apply, objective = learner.model.read, learner.objective
    count = jax.vmap(objective.count)(dict(batch)).sum()
    key = jax.random.fold_in(key, state["step"])
    trained, frozen = learner.split(state["params"])

    def part_loss(trained: Params, part: Batch, index: jax.Array) -> tuple[jax.Array, dict[str, jax.Array]]:
        total, sums = objective.loss(apply, {**frozen, **trained}, part, jax.random.fold_in(key, index))
        return total / count, {name: value / count for name, value in sums.items()}

    gradient = jax.value_and_grad(part_loss, has_aux=True)

    def accumulate(carry: Any, part_and_index: tuple[Batch, jax.Array]) -> tuple[Any, None]:
        return jax.tree.map(jnp.add, carry, gradient(trained, *part_and_index)), None

    parts = next(iter(batch.values())).shape[0]
    first = jax.tree.map(lambda leaf: leaf[0], dict(batch)), jnp.zeros((), jnp.int32)
    if parts == 1:
        (value, sums), grads = gradient(trained, *first)
    else:
        zero = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), jax.eval_shape(gradient, trained, *first))
        ((value, sums), grads), _ = jax.lax.scan(accumulate, zero, (dict(batch), jnp.arange(parts)))
    updates, opt = learner.optimizer.update(grads, state["opt"], trained)
    updated: Any = optax.apply_updates(trained, updates)
    metrics = {"loss": value, "gradient_norm": optax.tree.norm(grads), **sums}
    if learner.updates:
        metrics |= update_ratios(trained, cast(Any, updates))
    return {**state, "step": state["step"] + 1, "params": {**frozen, **updated}, "opt": opt}, metrics


def make_run_steps(
    learner: Learner, mesh: Mesh
) -> Callable[[State, Batch, Any, jax.Array], tuple[State, dict[str, jax.Array]]]:
    """The compiled program `(state, batches, count, key) -> (state, metrics)`.

    Leaves of `batches` are [K, A, B/A, ...]; the first `count` <= K of them are trained on. `state` is donated. Metrics
    are [K], of which the first `count` are set.
    """
    step_fn = partial(train_step, learner)

    def run_steps(state: State, batches: Batch, count: jax.Array, key: jax.Array) -> tuple[State, dict[str, jax.Array]]:
        def body(index: jax.Array, carry: tuple[State, dict[str, jax.Array]]) -> tuple[State, dict[str, jax.Array]]:
            state, metrics = carry
            batch = {name: jax.lax.dynamic_index_in_dim(leaf, index, keepdims=False) for name, leaf in batches.items()}
            state, values = step_fn(state, batch, key)
            return state, {name: metrics[name].at[index].set(value) for name, value in values.items()}

        slots = next(iter(batches.values())).shape[0]
        first = jax.tree.map(lambda leaf: leaf[0], dict(batches))
        _, shapes = jax.eval_shape(step_fn, state, first, key)
        metrics = {name: jnp.zeros(slots, value.dtype) for name, value in shapes.items()}
        return jax.lax.fori_loop(0, count, body, (state, metrics))

    return jax.jit(run_steps, donate_argnums=0, out_shardings=(state_shardings(learner, mesh), None))


class Saver(Protocol):
    """Where a run's states are kept."""

    def save(self, step: int, state: State) -> None:
        """Keeps the state after `step` steps. It has copied what it needs when it returns."""
        ...

    def newest(self) -> str:
        """What can be gone back to, for the message of a run that failed."""
        ...


class NoSaver:
    """Keeps nothing."""

    def save(self, step: int, state: State) -> None:
        return

    def newest(self) -> str:
        return "no checkpoint was saved"


class Rollout(NamedTuple):
    """What `Rollouts.make` made at `step`."""

    step: int
    batch: Batch
    values: Mapping[str, float]


class Trainer:
    """A run in memory: its devices, its compiled program, its state, and the loop.

    Nothing is allocated or compiled before `start` or `restore`, one of which comes before `run`. `stopped`: whether
    `run` ended because it was told to. Raises UserError for a mesh, a microbatch or patterns of names that do
    not fit.
    """

    def __init__(self, config: RunConfig, stage: Stage) -> None:
        self.config, self.stage = config, stage
        self.mesh = make_mesh(config.mesh)
        self.parts = microbatches(config, batch_shards(self.mesh))
        require_whole_rollouts(config, stage)
        self.learner = make_learner(config, stage)
        self.throughput = Throughput(config, list(self.mesh.devices.flat))
        self.stopped = False
        self._run_steps = make_run_steps(self.learner, self.mesh)
        self._key = jax.random.fold_in(jax.random.key(config.train.seed), 1)  # 0 initialises, 1 drops out
        self._state: State | None = None
        self._rollout: Rollout | None = None

    @property
    def state(self) -> State:
        """The train state, on the devices. `run` donates it at each dispatch and replaces it."""
        assert self._state is not None, "start() or restore() comes first"
        return self._state

    @property
    def step(self) -> int:
        """Train steps done so far."""
        return int(self.state["step"])

    @property
    def updates(self) -> int | None:
        """Train steps on one rollout; None for a stage without rollouts."""
        return None if self.stage.rollouts is None else self.stage.rollouts.updates

    def start(self, params: Params | None = None) -> None:
        """Begins at step 0, with fresh parameters or with a copy of `params`."""
        self._rollout = None
        with jax.set_mesh(self.mesh):
            if params is None:
                self._state = create_state(self.learner, self.mesh, self.config.train.seed)
            else:
                self._state = state_from(self.learner, self.mesh, params)
            if self.stage.reference is not None:
                self.stage = self.stage.reference.complete(self.stage.reference.measure(self.state["params"]))

    def restore(self, checkpoints: Checkpoints, accept: Callable[[dict[str, Any]], None]) -> dict[str, Any]:
        """Begins where the newest good checkpoint is, unless `accept` raises UserError for its meta; returns that. What
        the stage measured of the first parameters is read, and never measured of those that the checkpoint has."""
        self._rollout = None
        with jax.set_mesh(self.mesh):
            self._state, meta = checkpoints.restore(abstract_state(self.learner, self.mesh), accept=accept)
        if self.stage.reference is not None:
            kept = require_reference(checkpoints.folder.parent, meta.get("reference"))
            self.stage = self.stage.reference.complete(kept)
        return meta

    def take_over(self, other: Trainer) -> None:
        """Begins where `other` is, with its state, which it gives up: the same model and data under other settings."""
        self._state, other._state, self._rollout = other.state, None, None

    def run(self, saver: Saver | None = None, is_stopped: Callable[[], bool] = lambda: False) -> Iterator[LogLine]:
        """THE loop: trains to `train.steps` and yields (step, values) for each line of the log.

        Lines hold the loss and metrics of a step, what the stage's evaluators say, and last what its final evaluators
        say (neither where `train.evaluate` is none). When `is_stopped` says so after a dispatch, the state is saved and
        the loop ends without the final evaluation. Raises TrainingError when a number is not finite, before anything
        that holds it is saved.
        """
        config, step, saver = self.config, self.step, saver or NoSaver()
        late = LateMetrics(config, saver.newest, self.throughput)
        if step == 0 and self.stage.rollouts is not None and is_evaluated(config, step):
            yield step, self.evaluate(self.stage.evaluators)  # what is learned shows against the model it starts from
        while step < config.train.steps:
            late.begin(step)
            until = next_stop(config, step, self.updates)
            metrics = self._dispatch(step, until)
            yield from late.push(step, until, metrics)
            step = until
            if is_evaluated(config, step):
                yield from late.flush()
                yield step, self.evaluate(self.stage.evaluators)
            self.stopped = step % (self.updates or 1) == 0 and is_stopped()
            if is_saved(config, step) or self.stopped:
                yield from late.flush()  # never save what was not seen to be finite
                saver.save(step, self.state)
            if self.stopped:
                return
        yield from late.flush()
        if config.train.evaluate == "all":
            yield step, self.evaluate(self.stage.final_evaluators)

    def evaluate(self, evaluators: tuple[Evaluator, ...]) -> dict[str, float]:
        """What these evaluators say of the parameters as they are now."""
        with jax.set_mesh(self.mesh):
            return dict(pair for evaluate in evaluators for pair in evaluate(self.state["params"]))

    def _dispatch(self, step: int, until: int) -> dict[str, jax.Array]:
        """Runs steps step .. until - 1 and returns their metrics, which may still be under way."""
        steps, values = self._batches(step, until)
        batches = dispatch_batches(self.config, steps, self.mesh, self.parts)
        with jax.set_mesh(self.mesh):
            self._state, metrics = self._run_steps(self.state, batches, np.int32(until - step), self._key)
        if shares_threads(self.mesh):
            jax.block_until_ready(self._state)
        slots = self.config.train.steps_per_dispatch
        return {**metrics, **{name: jnp.full(slots, value) for name, value in values.items()}}

    def _batches(self, step: int, until: int) -> tuple[list[Batch], Mapping[str, float]]:
        """The batches of steps step .. until - 1, and what the rollout that they are of says for the log."""
        seed, rollouts = self.config.train.seed, self.stage.rollouts
        if rollouts is None:
            return [self.stage.batch(seed, index) for index in range(step, until)], {}
        begun = step - step % rollouts.updates
        if self._rollout is None or self._rollout.step != begun:
            assert step == begun, "a run goes on where a rollout begins"
            params, first = self.state["params"], {**self.state["params"], **self.state["first"]}
            with jax.set_mesh(self.mesh):
                self._rollout = Rollout(begun, *rollouts.make(params, first, self.stage.batch(seed, begun), begun))
        return [self._rollout.batch] * (until - step), self._rollout.values
