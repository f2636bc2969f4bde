"""THE train step and the only loop around it.

One dispatch of the compiled program runs several steps: a fresh call for every step would allocate, and page-fault, all
temporaries anew, which costs small models a third of their time on a CPU. The number of steps in a dispatch is an
argument of one program, not a shape, so a run cut at any step computes the same bits as one that was not. Numbers are
read one dispatch late, so that the device never waits for the host.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.sharding import Mesh

from jaxdec.checkpoints.checkpoints import Checkpoints
from jaxdec.config.files import write_json
from jaxdec.config.run import RunConfig
from jaxdec.config.yaml import config_to_dict
from jaxdec.distributed.sharding import batch_shards, make_mesh, shares_threads
from jaxdec.errors import Interrupted
from jaxdec.models.functional import Model, Params
from jaxdec.runs import directory as run_directory
from jaxdec.runs.lock import locked
from jaxdec.runs.metrics import MetricsLog
from jaxdec.runs.plot import plot_losses
from jaxdec.training.interruption import interruptions
from jaxdec.training.optim import make_optimizer
from jaxdec.training.reporting import LateMetrics, describe, describe_changes
from jaxdec.training.stage import Batch, Loss, Stage, dispatch_batches, microbatches
from jaxdec.training.state import State, abstract_state, create_state, state_shardings
from jaxdec.training.throughput import Throughput


def train_step(
    model: Model,
    optimizer: optax.GradientTransformation,
    loss: Loss,
    state: State,
    batch: Batch,
    key: jax.Array,
) -> tuple[State, dict[str, jax.Array]]:
    """One update from a global batch whose leaves are [A, B/A, ...]: A microbatches, accumulated.

    Every microbatch's sum is divided by the number of targets of the *whole* batch, so that the gradient does not
    depend on how the batch is cut. Dropout keys depend on `key`, the step and the microbatch alone.
    """
    targets = batch["mask"].sum()
    key = jax.random.fold_in(key, state["step"])

    def part_loss(params: Params, part: Batch, index: jax.Array) -> tuple[jax.Array, dict[str, jax.Array]]:
        total, sums = loss(model.read(params, part, key=jax.random.fold_in(key, index)), part)
        return total / targets, {name: value / targets for name, value in sums.items()}

    gradient = jax.value_and_grad(part_loss, has_aux=True)

    def accumulate(carry: Any, part_and_index: tuple[Batch, jax.Array]) -> tuple[Any, None]:
        return jax.tree.map(jnp.add, carry, gradient(state["params"], *part_and_index)), None

    parts = batch["mask"].shape[0]
    first = jax.tree.map(lambda leaf: leaf[0], dict(batch)), jnp.zeros((), jnp.int32)
    if parts == 1:
        (value, sums), grads = gradient(state["params"], *first)
    else:
        zero = jax.tree.map(
            lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), jax.eval_shape(gradient, state["params"], *first)
        )
        ((value, sums), grads), _ = jax.lax.scan(accumulate, zero, (dict(batch), jnp.arange(parts)))
    updates, opt = optimizer.update(grads, state["opt"], state["params"])
    params = optax.apply_updates(state["params"], updates)
    metrics = {"loss": value, "gradient_norm": optax.tree.norm(grads), **sums}
    return {"step": state["step"] + 1, "params": params, "opt": opt}, metrics


def make_run_steps(
    model: Model, optimizer: optax.GradientTransformation, loss: Loss, mesh: Mesh
) -> Callable[[State, Batch, Any, jax.Array], tuple[State, dict[str, jax.Array]]]:
    """The compiled program `(state, batches, count, key) -> (state, metrics)`.

    Leaves of `batches` are [K, A, B/A, ...]; the first `count` <= K of them are trained on. `state` is donated. Metrics
    are [K], of which the first `count` are set.
    """
    shardings = state_shardings(model, optimizer, mesh)

    def run_steps(state: State, batches: Batch, count: jax.Array, key: jax.Array) -> tuple[State, dict[str, jax.Array]]:
        def body(index: jax.Array, carry: tuple[State, dict[str, jax.Array]]) -> tuple[State, dict[str, jax.Array]]:
            state, metrics = carry
            batch = {name: jax.lax.dynamic_index_in_dim(leaf, index, keepdims=False) for name, leaf in batches.items()}
            state, values = train_step(model, optimizer, loss, state, batch, key)
            return state, {name: metrics[name].at[index].set(value) for name, value in values.items()}

        slots = batches["mask"].shape[0]
        first = jax.tree.map(lambda leaf: leaf[0], dict(batches))
        _, shapes = jax.eval_shape(partial(train_step, model, optimizer, loss), state, first, key)
        metrics = {name: jnp.zeros(slots, value.dtype) for name, value in shapes.items()}
        return jax.lax.fori_loop(0, count, body, (state, metrics))

    return jax.jit(run_steps, donate_argnums=0, out_shardings=(shardings, None))


def fit(config: RunConfig, stage: Stage, run_dir: Path, *, resume: bool) -> dict[str, Any]:
    """Trains to `train.steps`, from the start or from the newest good checkpoint; returns the run's summary.

    Raises UserError for input that cannot work or another process at work in `run_dir`, TrainingError when the loss is
    not finite or lies below the entropy floor, and Interrupted after SIGTERM or Ctrl-C, when the state is saved.
    """
    with locked(run_dir):
        return _fit(config, stage, run_dir, resume=resume)


def _fit(config: RunConfig, stage: Stage, run_dir: Path, *, resume: bool) -> dict[str, Any]:
    started = time.monotonic()
    mesh = make_mesh(config.mesh)
    parts = microbatches(config, batch_shards(mesh))
    model, optimizer = Model(config.model, config.precision), make_optimizer(config.optim, config.decay_steps)
    checkpoints = Checkpoints(run_dir / "checkpoints", config.train.keep_checkpoints)
    run_steps = make_run_steps(model, optimizer, stage.loss, mesh)
    key = jax.random.fold_in(jax.random.key(config.train.seed), 1)  # 0 initialises, 1 drops out
    with jax.set_mesh(mesh), interruptions() as interruption, contextlib.closing(checkpoints):
        if resume and checkpoints.steps():
            unchanged = partial(run_directory.require_unchanged, run_dir, config, stage.tokenizer, stage.data)
            state, saved = checkpoints.restore(abstract_state(model, optimizer, mesh), accept=unchanged)
            started -= saved.get("seconds", 0.0)  # spent on the run before
        else:
            state = create_state(model, optimizer, mesh, config.train.seed)
        if resume:
            print(describe_changes(run_directory.require_run(run_dir), config, int(state["step"])), end="")
            run_directory.update_config(run_dir, config)
        else:
            run_directory.create(run_dir, config, stage.tokenizer)
        meta = {
            "seed": config.train.seed,
            "config": config_to_dict(config),
            "tokenizer": stage.tokenizer.to_dict() | {"hash": stage.tokenizer.hash},
            "data": stage.data,
        }
        throughput = Throughput(config, list(mesh.devices.flat))
        print(describe(config, mesh, parts, state["params"], throughput, resumed_at=int(state["step"])))
        with MetricsLog(run_dir, config) as log:
            step = int(state["step"])
            log.truncate_after(step)
            late = LateMetrics(config, log, checkpoints, throughput)
            while step < config.train.steps:
                late.begin(step)
                until = next_stop(config, step)
                batches = dispatch_batches(config, stage, mesh, parts, step, until - step)
                state, metrics = run_steps(state, batches, np.int32(until - step), key)
                if shares_threads(mesh):
                    jax.block_until_ready(state)
                late.push(step, until, metrics)
                step = until
                if is_evaluated(config, step):
                    late.flush()
                    log.write(step, dict(pair for evaluate in stage.evaluators for pair in evaluate(state["params"])))
                if is_saved(config, step) or interruption.signal is not None:
                    late.flush()  # never save what was not seen to be finite
                    checkpoints.save(step, state, {**meta, "seconds": time.monotonic() - started})
                    if shares_threads(mesh):
                        checkpoints.wait()
                if interruption.signal is not None:
                    checkpoints.wait()
                    raise Interrupted(interruption.signal, step, run_dir)
            late.flush()
            final = {}
            if config.train.evaluate == "all":
                final = dict(pair for evaluate in stage.final_evaluators for pair in evaluate(state["params"]))
                log.write(step, final)
    return finish(config, run_dir, state, final, time.monotonic() - started)


def next_stop(config: RunConfig, step: int) -> int:
    """Where the dispatch that starts at `step` ends: when it is full, or an evaluation or a checkpoint is due."""
    train = config.train
    periods = (train.steps_per_dispatch, train.eval_every, train.checkpoint_every)
    return min(*((step // period + 1) * period for period in periods), train.steps)


def is_evaluated(config: RunConfig, step: int) -> bool:
    """Whether an evaluation is due after `step` steps, beside the one at the end."""
    train = config.train
    return train.evaluate == "all" and step % train.eval_every == 0 and step < train.steps


def is_saved(config: RunConfig, step: int) -> bool:
    """Whether a checkpoint is due after `step` steps."""
    return step % config.train.checkpoint_every == 0 or step == config.train.steps


def finish(config: RunConfig, run_dir: Path, state: State, final: dict[str, float], seconds: float) -> dict[str, Any]:
    """Draws loss.png, writes summary.json and returns what it holds."""
    plot_losses(run_dir / "metrics.jsonl", run_dir / "loss.png", final.get("floor"))
    summary = {
        "run": str(run_dir),
        "corpus": config.data.corpus,
        "steps": int(state["step"]),
        "tokens": int(state["step"]) * config.train.tokens_per_step,
        "parameters": sum(param.size for param in state["params"].values()),
        "seconds": round(seconds, 2),
        **final,
    }
    write_json(run_dir / "summary.json", summary)
    return summary
