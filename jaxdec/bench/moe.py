"""What a mixture of experts costs: a training step of a dense model beside those of mixtures with equal active FLOPs.

Every token passes through the same number of multiplications in all three: the dense feed-forward layer has as many
hidden channels as the K experts of a token together. What a mixture adds is its router, moving tokens into slots and
back, the empty part of the slots (capacity factor 1.25), and an optimizer with E / K times the feed-forward parameters.
Every layer is a mixture. A round times every side once, so that a machine that slows down slows all of them; medians
over rounds, and ratios taken within rounds, are what counts.
"""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import jax
import numpy as np
import optax

from jaxdec.config.model import DecoderConfig
from jaxdec.config.parts import MLP, FeedForward, MoE
from jaxdec.config.run import DataConfig, OptimConfig, RunConfig, TrainConfig
from jaxdec.distributed.sharding import make_mesh
from jaxdec.models.functional import Model
from jaxdec.training.learner import Learner
from jaxdec.training.loop import make_run_steps
from jaxdec.training.losses import LANGUAGE
from jaxdec.training.optim import make_optimizer
from jaxdec.training.state import create_state

VOCAB_SIZE = 65  # tiny Shakespeare's
MODEL = DecoderConfig(layers=4, heads=4, width=128, context=64, vocab_size=VOCAB_SIZE, bias=False)
SEQUENCES = 128  # 8,192 tokens: in a small step the optimizer, whose work grows with the parameters, hides the rest
TOP_K = 2
STEPS_PER_ROUND = 3
EXPANSION = 2
EXPERT = MLP(EXPANSION)
SIDES: dict[str, FeedForward] = {
    "dense": MLP(TOP_K * EXPANSION),
    "experts_8": MoE(experts=8, top_k=TOP_K, expert=EXPERT),
    "experts_64": MoE(experts=64, top_k=TOP_K, expert=EXPERT),
}
PAIRS = (("experts_8", "dense"), ("experts_64", "experts_8"))

TimedRound = Callable[[], float]  # trains STEPS_PER_ROUND steps and returns the last loss


def bench_moe(*, rounds: int) -> dict[str, Any]:
    """Times whole steps, and forward and backward pass alone, of every side; returns medians in ms and ratios."""
    runs = {}
    for name, mlp in SIDES.items():
        config = run_config(mlp)
        optimizer = make_optimizer(config.optim, config.decay_steps)
        runs[name, "step"] = make_run(config, optimizer)
        runs[name, "gradient"] = make_run(config, optax.set_to_zero())
    losses = {key: run() for key, run in runs.items()}  # compiles
    seconds: dict[tuple[str, str], list[float]] = {key: [] for key in runs}
    for _ in range(rounds):
        for key, run in runs.items():
            started = time.perf_counter()
            run()
            seconds[key].append((time.perf_counter() - started) / STEPS_PER_ROUND)
    result: dict[str, Any] = {"rounds": rounds, "tokens_per_step": SEQUENCES * MODEL.context}
    for name, mlp in SIDES.items():
        shapes = Model(run_config(mlp).model, run_config(mlp).precision).shapes()
        result[f"{name}_parameters"] = sum(math.prod(shape.shape) for shape in shapes.values())
        result[f"{name}_loss"] = round(losses[name, "step"], 6)
    for (name, what), times in seconds.items():
        result[f"{name}_{what}_ms"] = round(1e3 * statistics.median(times), 2)
    for what in ("step", "gradient"):
        for one, other in PAIRS:
            ratios = [a / b for a, b in zip(seconds[one, what], seconds[other, what], strict=True)]
            result[f"{one}_over_{other}_{what}"] = round(statistics.median(ratios), 3)
            result[f"{one}_over_{other}_{what}_min"] = round(min(ratios), 3)
            result[f"{one}_over_{other}_{what}_max"] = round(max(ratios), 3)
    return result


def run_config(mlp: FeedForward) -> RunConfig:
    return RunConfig(
        model=replace(MODEL, mlp=mlp),
        data=DataConfig(corpus="random"),
        optim=OptimConfig(),
        train=TrainConfig(tokens_per_step=SEQUENCES * MODEL.context, steps_per_dispatch=STEPS_PER_ROUND),
    ).check()


def make_run(config: RunConfig, optimizer: optax.GradientTransformation) -> TimedRound:
    """Trains on random tokens, in dispatches of STEPS_PER_ROUND steps."""
    shape = (STEPS_PER_ROUND, 1, SEQUENCES, config.window + 1)
    ids = np.random.default_rng(0).integers(0, VOCAB_SIZE, shape, dtype=np.int32)
    mask = np.ones(ids[..., 1:].shape, np.float32)
    batches = {"tokens": ids[..., :-1], "targets": np.ascontiguousarray(ids[..., 1:]), "mask": mask}
    mesh = make_mesh(config.mesh)
    learner = Learner(Model(config.model, config.precision), optimizer, LANGUAGE)
    run_steps = make_run_steps(learner, mesh)
    with jax.set_mesh(mesh):
        state = create_state(learner, mesh, seed=0)

    def run() -> float:
        nonlocal state
        with jax.set_mesh(mesh):
            state, metrics = run_steps(state, batches, np.int32(STEPS_PER_ROUND), jax.random.key(1))
            return float(jax.block_until_ready((state, metrics["loss"][-1]))[1])

    return run
