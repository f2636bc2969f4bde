"""What can be seen of a run, the cheap things first: each a function of the run's config."""

from __future__ import annotations

import functools
from collections.abc import Callable, Hashable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdec.config import classify, instruct, preference, reinforce, tokenizers, trainable
from jaxdec.config.run import DataConfig, LogConfig, MeshConfig, OptimConfig, Precision, RunConfig, TrainConfig
from jaxdec.data.batches import Windows
from jaxdec.data.instructions.batches import InstructionBatches, rows_of
from jaxdec.data.instructions.examples import prepare_instructions
from jaxdec.data.labelled import LabelledBatches, prepare_labelled
from jaxdec.data.preferences import prepare_preferences
from jaxdec.data.problems import load_problems, reward_of
from jaxdec.data.shards import Dataset, prepare
from jaxdec.data.tokenizers.char import CharTokenizer
from jaxdec.distributed.sharding import make_mesh
from jaxdec.evaluation.text import full_sweep, make_window_losses, random_windows
from jaxdec.models.functional import Model, Params
from jaxdec.parity.pairs.batches.reinforce import batches as made_up_rollouts
from jaxdec.runs import metrics
from jaxdec.stages.reinforce import make_stage, most_tokens
from jaxdec.training import fit as train
from jaxdec.training.learner import make_learner, trainable_names
from jaxdec.training.loop import train_step
from jaxdec.training.losses import LANGUAGE
from jaxdec.training.objectives import objective_of
from jaxdec.training.optim import make_optimizer
from jaxdec.training.preference import pair_scores
from jaxdec.training.reinforcement import advantages
from jaxdec.training.reporting import LateMetrics
from jaxdec.training.schedule import is_evaluated, is_saved, next_stop
from jaxdec.training.stage import microbatches
from jaxdec.training.state import abstract_state
from jaxdec.training.throughput import Throughput
from tests import tiny
from tests.config.effects.models import MODEL


def frozen(tree: Any) -> Hashable:
    """A tree of arrays and numbers as one value that can be compared."""
    leaves, structure = jax.tree.flatten(tree)
    return str(structure), tuple(
        (np.shape(leaf), np.asarray(leaf).dtype.name, np.asarray(leaf).tobytes()) for leaf in leaves
    )


@functools.cache
def shapes(run: RunConfig) -> Hashable:
    described = {name: (leaf.shape, leaf.dtype.name) for name, leaf in Model.of(run).shapes().items()}
    return run.window, tuple(described.items())


@functools.cache
def initial(run: RunConfig) -> Hashable:
    return frozen(Model.of(run).init(jax.random.key(0)))


@functools.cache
def outputs(run: RunConfig) -> Hashable:
    return frozen(_read(run, None))


@functools.cache
def training(run: RunConfig) -> Hashable:
    return frozen(_read(run, jax.random.key(1)))


def _read(run: RunConfig, key: Any) -> Any:
    model = Model.of(run)
    params: Params = tiny.generic_params(model)
    time = min(12, run.model.context)
    batch = {"tokens": tiny.tokens(2, time), "source": tiny.tokens(2, time, seed=1), "source_mask": np.ones((2, time))}
    output = jax.jit(functools.partial(model.read, key=key))(params, batch)
    return output.logits_BTV, output.aux, output.metrics


@functools.cache
def updates(run: RunConfig) -> Hashable:
    """Parameters after eight steps of the optimizer with gradients from a fixed source."""
    optimizer = make_optimizer(run.optim, run.decay_steps)
    params = {"w": jnp.ones((3, 2)), "b": jnp.ones(2)}
    state = optimizer.init(params)
    for step in range(8):
        source = np.random.default_rng(step)
        grads = {name: jnp.asarray(source.normal(size=leaf.shape), jnp.float32) for name, leaf in params.items()}
        change, state = optimizer.update(grads, state, params)
        params = jax.tree.map(jnp.add, params, change)
    return frozen(params)


@functools.cache
def data_of(data: DataConfig) -> Dataset:
    return prepare(data)


@functools.cache
def batches(run: RunConfig) -> Hashable:
    dataset = data_of(run.data)
    windows = Windows(dataset.train, run.window, run.batch_size, run.data.stride)
    first = windows(run.train.seed, 0)
    return dataset.tokenizer.vocab_size, dataset.hash, microbatches(run, 1), frozen(first)


@functools.cache
def instructions(run: RunConfig) -> Hashable:
    stage, data = run.stage, DataConfig("instructions.jsonl", tokenizers.BPE(300))
    assert isinstance(stage, instruct.Instruct)
    dataset = prepare_instructions(data, stage, 150)
    rows = rows_of(dataset.entries["training"], stage.batching, 150)
    batch = InstructionBatches(
        rows, stage.batching, 150, 0, 4, prompt_counts=stage.prompt_loss == "counted", steps_per_dispatch=1
    )
    return dataset.hash, tuple(map(len, dataset.entries.values())), frozen(batch(0, 0))


@functools.cache
def preferences(run: RunConfig) -> Hashable:
    assert isinstance(run.stage, preference.Preference)
    data = DataConfig("preferences.jsonl", tokenizers.BPE(300), window=150)
    dataset = prepare_preferences(replace(run, data=data))
    log_p = np.array([[-1.0, -3.0], [-5.0, -2.0]])
    losses = pair_scores(run.stage.loss, jnp.asarray(log_p), jnp.asarray(log_p[::-1]))
    return dataset.hash, tuple(map(len, dataset.splits.values())), frozen(losses)


@functools.cache
def labelled(run: RunConfig) -> Hashable:
    """What is trained on, and what a classifier minimises."""
    stage = run.stage
    assert isinstance(stage, classify.Classify)
    dataset = prepare_labelled(DataConfig("labelled.jsonl", tokenizers.BPE(300)), stage, 16)
    batch = LabelledBatches(dataset.splits["training"], dataset.weights, 4)(0, 0)
    output = SimpleNamespace(logits_BTV=jnp.arange(128.0).reshape(4, 16, 2) % 7, aux={}, metrics={})
    loss = objective_of(stage).loss(lambda *_, **__: output, {}, batch, jax.random.key(0))[0]  # type: ignore[arg-type]
    return dataset.hash, dataset.labels, tuple(map(len, dataset.splits.values())), frozen(batch), float(loss)


@functools.cache
def rollouts(run: RunConfig) -> Hashable:
    """Which problems are asked, what answers are worth, and what is minimised."""
    settings = run.stage
    assert isinstance(settings, reinforce.Reinforce)
    data = DataConfig("modular:5", window=8)
    run = replace(run, data=data, train=replace(run.train, tokens_per_step=8 * 8))
    problems = load_problems(data, CharTokenizer.train("\n+=01234"), None)
    stage = make_stage(run, Model(run.model, run.precision), problems)
    assert stage.rollouts is not None
    asked = [stage.batch(0, step) for step in range(3)]
    worth = [reward_of(text, "abc", settings.reward) for text in ("abc", "abd", None)]
    batch = made_up_rollouts(run, seed=0, count=1)[0]
    output = SimpleNamespace(logits_BTV=np.random.default_rng(1).normal(size=(8, 8, 11)), aux={})
    loss = stage.objective.loss(lambda *_, **__: output, {}, batch, jax.random.key(0))[0]  # type: ignore[arg-type]
    gain = advantages(np.array([[0.0, 0.0, 1.0]]), settings.baseline)
    return frozen((asked, worth, loss, gain, most_tokens(run, problems), stage.rollouts.updates))


@functools.cache
def loop(run: RunConfig) -> Hashable:
    """When a run stops, looks and saves."""
    stops, step = [], 0
    while step < run.train.steps:
        step = next_stop(run, step)
        stops.append((step, is_evaluated(run, step), is_saved(run, step)))
    return tuple(stops)


@functools.cache
def scores(run: RunConfig) -> Hashable:
    dataset = data_of(run.data)
    run = replace(run, model=replace(run.model, vocab_size=dataset.tokenizer.vocab_size))
    model = Model(run.model, run.precision)
    params, losses = tiny.generic_params(model), make_window_losses(model)
    return tuple(pair for make in (random_windows, full_sweep) for pair in make(losses, run, dataset)(params))


@functools.cache
def learns(run: RunConfig) -> Hashable:
    return trainable_names(run.trainable, Model.of(run).axes)


@functools.cache
def mesh(run: RunConfig) -> Hashable:
    return tuple(make_mesh(run.mesh).shape.items())


@functools.cache
def sinks(run: RunConfig) -> Hashable:
    with pytest.MonkeyPatch.context() as patch:
        for name in ("TensorBoard", "WandB", "Progress"):
            patch.setattr(metrics, name, lambda *_, name=name, **__: name)
        patch.setattr(metrics, "require_sinks", lambda log: None)
        return tuple(metrics._configured_sinks(Path(), run))


@functools.cache
def measured(run: RunConfig) -> Hashable:
    """What a train step says of itself."""
    learner = make_learner(run, SimpleNamespace(model=tiny.model(layers=1), objective=LANGUAGE, rollouts=None))
    state = abstract_state(learner, make_mesh(MeshConfig(data=1)))
    batch = {name: leaf[None] for name, leaf in tiny.batch(2, 8).items()}
    return tuple(jax.eval_shape(functools.partial(train_step, learner), state, batch, jax.random.key(0))[1])


class _Reached(Exception):
    """Raised in place of what would come next."""


@functools.cache
def kept(run: RunConfig) -> Hashable:
    """What the loop asks of its checkpoints."""

    def reached(folder: Path, keep: int) -> None:
        raise _Reached(keep)

    stage = SimpleNamespace(model=Model(MODEL, run.precision), objective=LANGUAGE, rollouts=None)
    run = replace(run, mesh=MeshConfig(data=1))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(train, "Checkpoints", reached)
        with pytest.raises(_Reached) as asked:
            train.fit(run, stage, Path("run"), resume=False)
    return asked.value.args


def speed_of(run: RunConfig) -> Throughput:
    return Throughput(run, [SimpleNamespace(device_kind="a device without a known peak")])


@functools.cache
def peak(run: RunConfig) -> Hashable:
    """What the speed is held against."""
    return speed_of(run).peak_tflops


@functools.cache
def logged(run: RunConfig) -> Hashable:
    """The steps that are written down."""
    late = LateMetrics(run, lambda: "", speed_of(run))
    reports = (*late.push(0, 8, {"loss": jnp.ones(8)}), *late.flush())
    return tuple(step for step, _ in reports)


VIEWS: dict[type, tuple[Callable[[RunConfig], Hashable], ...]] = {
    classify.Classify: (labelled,),
    **dict.fromkeys((instruct.Own, instruct.Buckets, instruct.Instruct), (instructions,)),
    **dict.fromkeys((trainable.Matching, trainable.LastBlocks), (learns,)),
    reinforce.Reinforce: (rollouts,),
    **dict.fromkeys((preference.DPO, preference.IPO, preference.Preference), (preferences,)),
    **dict.fromkeys((tokenizers.BPE, tokenizers.HuggingFace, tokenizers.SentencePiece), (batches,)),
    DataConfig: (batches, scores),
    OptimConfig: (updates,),
    TrainConfig: (loop, batches, logged, kept, scores, peak),
    Precision: (shapes, outputs),
    MeshConfig: (mesh,),
    LogConfig: (sinks, measured),
}
OF_MODELS = (shapes, initial, outputs, training)
