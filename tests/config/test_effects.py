"""No dead keys: every field of every config class changes what a run computes, holds, reads or writes.

For each field there is a config in which it matters, and another value for it. The classes and their fields are found
by walking the types from `RunConfig` down, so that a field without an effect, or a new one without a line here, fails.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Callable, Hashable, Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdec.config import classify, instruct, parts, positions, preference, reinforce, stages, tokenizers, trainable
from jaxdec.config.documents import Joined, Separate
from jaxdec.config.model import (
    BigramConfig,
    DecoderConfig,
    EncoderDecoderConfig,
    MultiHeadConfig,
    OneBlockConfig,
    SingleHeadConfig,
)
from jaxdec.config.run import DataConfig, LogConfig, MeshConfig, OptimConfig, Precision, RunConfig, TrainConfig
from jaxdec.config.yaml import field_types, variants
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
from tests.data.tokenizers.vocabularies import scored_file

MODEL = DecoderConfig(layers=1, heads=2, width=16, context=16, vocab_size=11)
TEXT = "".join(f"{number} and {number + 1} makes {2 * number + 1}\n" for number in range(40))


def classes(hint: Any = RunConfig) -> Iterator[type]:
    """Every config class that a field can hold, from `hint` down."""
    for cls in variants(hint) or (hint,):
        yield cls
        for inner in field_types(cls).values():
            if variants(inner):
                yield from classes(inner)


FIELDS = [(cls, name) for cls in dict.fromkeys(classes()) if cls is not RunConfig for name in field_types(cls)]


def values(cls: type) -> dict[str, Any]:
    """For each field of a class: the changed value, or (another base, the changed value) where it takes one."""
    moe = parts.MoE(experts=4, top_k=1, min_capacity=1)
    crowded = replace(moe, capacity_factor=0.5, eval_capacity_factor=0.5)
    yarn = positions.YarnScaling(original_context=64, factor=4.0, beta_fast=2.0, beta_slow=0.2)  # a ramp over 4 pairs
    noisy = replace(moe, capacity_factor=None)
    plain = {"softcap": 2.0, "sink": 0.5, "alibi": 4.0}
    gpt = {"layers": 2, "heads": 4, "width": 32, "context": 12, "vocab_size": 13, "init_std": 0.1}
    return {
        positions.Learned: {"init_std": 0.5},
        positions.Sinusoidal: {"base": 7.0},
        positions.NoPosition: {},
        positions.LinearScaling: {"factor": 3.0},
        positions.Llama3Scaling: {"original_context": 16, "factor": 2.0, "low_frequency": 0.5, "high_frequency": 9.0},
        positions.YarnScaling: {
            "original_context": (yarn, 32),
            "factor": (yarn, 2.0),
            "beta_fast": (yarn, 4.0),
            "beta_slow": (yarn, 0.7),
            "attention_factor": (yarn, 2.0),
            "truncate": (yarn, False),
        },
        positions.RoPE: {"theta": 50.0, "scaling": positions.LinearScaling(2.0), "channels": 4},
        parts.LayerNorm: {"epsilon": 0.3, "scale": False, "bias": False},
        parts.RMSNorm: {"epsilon": 0.3},
        parts.Full: plain,
        parts.Local: {**plain, "window": 3},
        parts.Strided: {**plain, "stride": 3},
        parts.MLP: {"expansion": 2, "activation": "relu", "hidden": 24},
        parts.GatedMLP: {"hidden": 8, "activation": "gelu_tanh", "clamp": 0.1, "up_shift": 1.0},
        parts.MoE: {
            "experts": 5,
            "top_k": 2,
            "expert": parts.GatedMLP(12),
            "shared": parts.MLP(),
            "shared_gate": (replace(moe, shared=parts.MLP()), True),
            "router_bias": True,
            "noisy": True,
            "gates": (replace(moe, top_k=2, capacity_factor=None, eval_capacity_factor=None), "all"),
            "capacity_factor": (noisy, 0.3),
            "eval_capacity_factor": (replace(moe, eval_capacity_factor=None), 0.3),
            "min_capacity": (crowded, 6),
            "balance_loss": 0.5,
            "z_loss": 0.5,
            "init_scale": 1.0,
        },
        DecoderConfig: {
            **gpt,
            "kv_heads": 1,
            "head_dim": 4,
            "position": positions.RoPE(),
            "norm": parts.RMSNorm(),
            "branch_norm": "post",
            "residual_scale": 0.5,
            "residual": "parallel",
            "qk_norm": parts.RMSNorm(),
            "qk_norm_over": (replace(MODEL, qk_norm=parts.RMSNorm()), "all"),
            "attention": parts.Local(window=2),
            "qkv_clip": 0.05,
            "documents": Separate(start=3),
            "score_scale": 0.1,
            "mlp": parts.GatedMLP(8),
            "bias": False,
            "attention_bias": "qkv",
            "embed_scale": 4.0,
            "tied_head": False,
            "head_bias": (replace(MODEL, tied_head=False), True),
            "logit_scale": 0.5,
            "logit_softcap": 2.0,
            "classes": 3,
            "dropout": 0.5,
        },
        Joined: {},
        Separate: {"start": 2},
        BigramConfig: {"width": 8, "context": 4, "vocab_size": 13, "init_std": 0.1},
        SingleHeadConfig: {"width": 8, "context": 12, "vocab_size": 13, "init_std": 0.1},
        MultiHeadConfig: {"heads": 8, "width": 8, "context": 12, "vocab_size": 13, "init_std": 0.1},
        OneBlockConfig: {**gpt, "norm": parts.RMSNorm(), "mlp": parts.GatedMLP(8), "dropout": 0.5},
        EncoderDecoderConfig: {
            **gpt,
            "position": positions.Learned(),
            "norm": parts.RMSNorm(),
            "norm_place": "pre",
            "mlp": parts.MLP(),
            "bias": False,
            "tied_head": False,
            "dropout": 0.5,
        },
        stages.Pretrain: {},
        stages.Translate: {},
        instruct.Alpaca: {},
        instruct.Phi3: {},
        instruct.ChatML: {},
        instruct.Own: {"path": "other.txt"},
        instruct.Buckets: {"multiple": 5},
        instruct.Packed: {},
        instruct.Instruct: {
            "template": instruct.Phi3(),
            "prompt_loss": "counted",
            "batching": instruct.Packed(),
            "too_long": "cut",
            "test_fraction": 0.4,
            "split_seed": 1,
        },
        trainable.Everything: {},
        trainable.Matching: {"patterns": ("blocks.*",)},
        trainable.LastBlocks: {"blocks": 0},
        trainable.LoRA: {"rank": 3, "alpha": 4.0, "dropout": 0.5, "targets": ("query",)},
        preference.DPO: {"beta": 0.5, "label_smoothing": 0.2},
        preference.IPO: {"tau": 0.5},
        preference.Preference: {
            "loss": preference.IPO(),
            "template": instruct.Phi3(),
            "too_long": "cut",
            "test_fraction": 0.3,
            "split_seed": 1,
        },
        classify.Classify: {
            "labels": (classify.Classify(), ("spam", "ham")),
            "at": "last_position",
            "balance": "none",
            "test_fraction": 0.4,
            "split_seed": 1,
            "label_field": (classify.Classify(), "other"),
        },
        reinforce.Reinforce: {
            "group": 4,
            "updates": 2,
            "temperature": 0.5,
            "answer_tokens": 5,
            "reward": "partial",
            "baseline": "centered",
            "clip": 0.05,
            "kl": 0.5,
            "average": "token",
        },
        tokenizers.Characters: {},
        tokenizers.Words: {},
        tokenizers.GPT2: {},
        tokenizers.BPE: {"vocab_size": 270},
        tokenizers.HuggingFace: {"path": "other.json"},
        tokenizers.SentencePiece: {"path": "other.bin"},
        DataConfig: {
            "corpus": "markov",
            "text_field": (DataConfig("folder/records.jsonl"), "other"),
            "limit_documents": (DataConfig("folder/records.jsonl"), 30),
            "limit_files": (DataConfig("folder"), 1),
            "tokenizer": tokenizers.Words(),
            "window": 8,
            "stride": 3,
            "validation_fraction": 0.3,
            "sweep_stride": 4,
        },
        OptimConfig: {
            "learning_rate": 5e-3,
            "min_learning_rate": 5e-4,
            "warmup_steps": 3,
            "decay_steps": 5,
            "beta1": 0.5,
            "beta2": 0.5,
            "epsilon": 1.0,
            "weight_decay": 0.9,
            "clip_norm": None,
        },
        TrainConfig: {
            "steps": 9,
            "tokens_per_step": 128,
            "microbatch": 2,
            "steps_per_dispatch": 3,
            "log_every": 3,
            "evaluate": (TrainConfig(steps=8, tokens_per_step=64, eval_every=4), "none"),
            "peak_tflops": 2.0,
            "eval_every": 3,
            "eval_batches": 1,
            "checkpoint_every": 2,
            "keep_checkpoints": 1,
            "seed": 5,
        },
        Precision: {"params": "bfloat16", "compute": "bfloat16"},
        MeshConfig: {"data": 2, "fsdp": 2},
        LogConfig: {"tensorboard": True, "wandb": True, "updates": True},
    }[cls]


# One instance of each class, and the run that holds it.
BASES: dict[type, tuple[Any, Callable[[Any], dict[str, Any]]]] = {
    positions.Learned: (positions.Learned(), lambda it: {"model": replace(MODEL, position=it)}),
    positions.Sinusoidal: (positions.Sinusoidal(), lambda it: {"model": replace(MODEL, position=it)}),
    positions.LinearScaling: (positions.LinearScaling(2.0), lambda it: scaled(it)),
    positions.Llama3Scaling: (positions.Llama3Scaling(8, 4.0, 1.0, 3.0), lambda it: scaled(it)),
    positions.YarnScaling: (positions.YarnScaling(64), lambda it: scaled(it)),
    positions.RoPE: (positions.RoPE(), lambda it: {"model": replace(MODEL, position=it)}),
    Separate: (Separate(start=3), lambda it: {"model": replace(MODEL, documents=it)}),
    parts.LayerNorm: (parts.LayerNorm(), lambda it: {"model": replace(MODEL, norm=it)}),
    parts.RMSNorm: (parts.RMSNorm(), lambda it: {"model": replace(MODEL, norm=it)}),
    parts.Full: (parts.Full(), lambda it: {"model": replace(MODEL, attention=it)}),
    parts.Local: (parts.Local(window=5), lambda it: {"model": replace(MODEL, attention=it)}),
    parts.Strided: (parts.Strided(stride=2), lambda it: {"model": replace(MODEL, attention=it)}),
    parts.MLP: (parts.MLP(), lambda it: {"model": replace(MODEL, mlp=it)}),
    parts.GatedMLP: (parts.GatedMLP(24), lambda it: {"model": replace(MODEL, mlp=it)}),
    parts.MoE: (parts.MoE(4, top_k=1), lambda it: {"model": replace(MODEL, mlp=it)}),
    DecoderConfig: (MODEL, lambda it: {"model": it}),
    BigramConfig: (BigramConfig(width=6, vocab_size=11), lambda it: {"model": it}),
    SingleHeadConfig: (SingleHeadConfig(width=16, context=16, vocab_size=11), lambda it: {"model": it}),
    MultiHeadConfig: (MultiHeadConfig(heads=2, width=16, context=16, vocab_size=11), lambda it: {"model": it}),
    OneBlockConfig: (OneBlockConfig(heads=2, width=16, context=16, vocab_size=11), lambda it: {"model": it}),
    EncoderDecoderConfig: (EncoderDecoderConfig(1, 2, 16, 16, vocab_size=11), lambda it: {"model": it}),
    instruct.Own: (instruct.Own("one.txt"), lambda it: {"stage": instruct.Instruct(it)}),
    instruct.Buckets: (instruct.Buckets(), lambda it: {"stage": instruct.Instruct(batching=it)}),
    instruct.Instruct: (instruct.Instruct(), lambda it: {"stage": it}),
    trainable.Matching: (trainable.Matching(("token_embed.*",)), lambda it: {"trainable": it}),
    trainable.LastBlocks: (
        trainable.LastBlocks(),
        lambda it: {"trainable": it, "model": replace(MODEL, tied_head=False)},
    ),
    trainable.LoRA: (trainable.LoRA(rank=2), lambda it: {"trainable": it}),
    preference.DPO: (preference.DPO(), lambda it: {"stage": preference.Preference(it)}),
    preference.IPO: (preference.IPO(), lambda it: {"stage": preference.Preference(it)}),
    preference.Preference: (preference.Preference(), lambda it: {"stage": it}),
    reinforce.Reinforce: (reinforce.Reinforce(group=2, updates=1), lambda it: {"stage": it}),
    classify.Classify: (classify.Classify(), lambda it: {"stage": it}),
    tokenizers.BPE: (tokenizers.BPE(vocab_size=300), lambda it: {"data": DataConfig("text", it)}),
    tokenizers.HuggingFace: (tokenizers.HuggingFace("one.json"), lambda it: {"data": DataConfig("text", it)}),
    tokenizers.SentencePiece: (tokenizers.SentencePiece("one.bin"), lambda it: {"data": DataConfig("text", it)}),
    DataConfig: (DataConfig("text"), lambda it: {"data": it}),
    OptimConfig: (OptimConfig(warmup_steps=2), lambda it: {"optim": it}),
    TrainConfig: (TrainConfig(steps=8, tokens_per_step=64), lambda it: {"train": it}),
    Precision: (Precision(), lambda it: {"precision": it}),
    MeshConfig: (MeshConfig(), lambda it: {"mesh": it}),
    LogConfig: (LogConfig(), lambda it: {"log": it}),
}
RUN = RunConfig(
    model=MODEL,
    data=DataConfig("text"),
    optim=OptimConfig(warmup_steps=2),
    train=TrainConfig(steps=8, tokens_per_step=64),
)


def scaled(it: Any) -> dict[str, Any]:
    return {"model": replace(MODEL, head_dim=8, position=positions.RoPE(theta=100.0, scaling=it))}


# What can be seen of a run, the cheap things first.


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


@pytest.fixture(autouse=True, scope="module")
def _texts(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """A folder with the corpus and the tokenizer files that the configs name."""
    folder = tmp_path_factory.mktemp("texts")
    (folder / "text").write_text(TEXT)
    (folder / "folder").mkdir()
    records = [{"text": line, "other": line[::-1]} for line in TEXT.splitlines()]
    (folder / "folder" / "records.jsonl").write_text("".join(json.dumps(record) + "\n" for record in records))
    (folder / "folder" / "text").write_text(TEXT)
    kinds = [
        {"text": f"{n} for {n}", "label": "spam" if n % 3 else "ham", "other": "spam" if n % 2 else "ham"}
        for n in range(60)
    ]
    (folder / "labelled.jsonl").write_text("".join(json.dumps(record) + "\n" for record in kinds))
    asked = [
        {"instruction": line.split()[0], "output": line * (1 + 9 * (n % 2))} for n, line in enumerate(TEXT.splitlines())
    ]
    (folder / "instructions.jsonl").write_text("".join(json.dumps(record) + "\n" for record in asked))
    pairs = [
        {
            "instruction": record["instruction"],
            "input": "",
            "chosen": record["output"],
            "rejected": record["output"][::-1],
        }
        for record in asked
    ]
    (folder / "preferences.jsonl").write_text("".join(json.dumps(pair) + "\n" for pair in pairs))
    (folder / "one.txt").write_text("Q: {instruction} {input}\nA: {response}")
    (folder / "other.txt").write_text("Question: {instruction} {input}\nAnswer: {response}")
    for name, size in (("one.json", 280), ("other.json", 290)):
        byte_pairs(size).save(str(folder / name))
        (folder / name).with_suffix(".bin").write_bytes(scored_file("ab ba abba", size - 278))
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        jax.config.update("jax_disable_most_optimizations", True)
        yield
        jax.config.update("jax_disable_most_optimizations", False)


def byte_pairs(size: int) -> Any:
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    tokenizer: Any = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    tokenizer.train_from_iterator([TEXT], trainers.BpeTrainer(vocab_size=size, initial_alphabet=alphabet))
    return tokenizer


@pytest.mark.parametrize(("cls", "name"), FIELDS, ids=lambda value: getattr(value, "__name__", value))
def test_every_field_has_an_effect(cls: type, name: str) -> None:
    base, place = BASES[cls]
    value = values(cls)[name]
    if isinstance(value, tuple) and isinstance(value[0], cls):
        base, value = value
    assert getattr(base, name) != value
    before, after = (replace(RUN, **place(part)) for part in (base, replace(base, **{name: value})))
    assert any(view(before) != view(after) for view in VIEWS.get(cls, OF_MODELS))


@pytest.mark.parametrize(
    "cls", [cls for cls in dict.fromkeys(classes()) if cls is not RunConfig], ids=lambda cls: cls.__name__
)
def test_the_table_knows_no_other_fields(cls: type) -> None:
    assert set(values(cls)) == set(field_types(cls))


@pytest.mark.parametrize("cls", [parts.MoE, EncoderDecoderConfig, *VIEWS], ids=lambda cls: cls.__name__)
def test_what_is_seen_depends_on_the_config_alone(cls: type) -> None:
    """Two equal configs look the same: otherwise any field would seem to have an effect."""
    base, place = BASES[cls]
    run = replace(RUN, **place(base))
    for view in VIEWS.get(cls, OF_MODELS):
        assert view(run) == view.__wrapped__(run)
