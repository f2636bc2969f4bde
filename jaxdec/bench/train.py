"""Training speed, ours against the PyTorch twin's: the same model, weights, batches and optimizer, in turn in one
process.

Torch runs as fast as it goes: scaled_dot_product_attention, fused AdamW, all cores, eager and compiled. A round times
every side once, so that a machine that slows down slows all of them; medians over rounds, and ratios taken within
rounds, are what counts; one step before the clock starts brings a side's data back into the caches. Each side's first
losses are shown, because a fast wrong step would win any race.
"""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import jax
import numpy as np

from jaxdec.config.model import DecoderConfig
from jaxdec.config.parts import MLP, Activation
from jaxdec.config.run import DataConfig, OptimConfig, RunConfig, TrainConfig
from jaxdec.distributed.sharding import make_mesh
from jaxdec.models.functional import Model, Params
from jaxdec.training.learner import Learner
from jaxdec.training.loop import make_run_steps
from jaxdec.training.losses import LANGUAGE
from jaxdec.training.optim import make_optimizer
from jaxdec.training.state import create_state

VOCAB_SIZE = 65  # tiny Shakespeare's
SIZES = {
    "small": DecoderConfig(layers=4, heads=4, width=128, context=64, vocab_size=VOCAB_SIZE, bias=False),
    "medium": DecoderConfig(layers=6, heads=6, width=384, context=256, vocab_size=VOCAB_SIZE, bias=False),
}
SEQUENCES = {"small": 12, "medium": 8}
STEPS_PER_ROUND = {"small": 40, "medium": 10}  # multiples of train.steps_per_dispatch
SETTLE_SECONDS = 0.5  # threads of the other framework spin for up to 0.2 s before they sleep

TimedRun = Callable[[int], list[float]]  # (steps) -> their losses, when all are done


def bench_train(size: str, *, rounds: int, activation: Activation) -> dict[str, Any]:
    """Times every side for `rounds` rounds; returns medians in ms a step, tokens/s, ratios to the better torch side."""
    model = replace(SIZES[size], mlp=MLP(activation=activation))
    config = RunConfig(
        model=model,
        data=DataConfig(corpus="random"),
        optim=OptimConfig(),
        train=TrainConfig(tokens_per_step=SEQUENCES[size] * model.context),
    ).check()
    sides = make_sides(config, compiled=True)
    first_losses = {name: run(config.train.steps_per_dispatch) for name, run in sides.items()}  # compiles, too
    seconds: dict[str, list[float]] = {name: [] for name in sides}
    for _ in range(rounds):
        for name, run in sides.items():
            time.sleep(SETTLE_SECONDS)
            run(1)
            started = time.perf_counter()
            run(STEPS_PER_ROUND[size])
            seconds[name].append((time.perf_counter() - started) / STEPS_PER_ROUND[size])
    figures = summarise(config, seconds, {name: losses[-1] for name, losses in first_losses.items()})
    return {"activation": activation, **figures}


def summarise(config: RunConfig, seconds: dict[str, list[float]], losses: dict[str, float]) -> dict[str, Any]:
    """Medians per side, and the median over rounds of (the better torch side's time / ours)."""
    medians = {name: statistics.median(times) for name, times in seconds.items()}
    best = min((name for name in medians if name != "jaxdec"), key=medians.__getitem__)
    ratios = [theirs / ours for theirs, ours in zip(seconds[best], seconds["jaxdec"], strict=True)]
    result: dict[str, Any] = {"rounds": len(ratios)}
    for name, median in medians.items():
        result |= {
            f"{name}_ms_per_step": round(1e3 * median, 2),
            f"{name}_tokens_per_second": round(config.train.tokens_per_step / median),
            f"{name}_loss": round(losses[name], 6),
        }
    ratio = statistics.median(ratios)
    return result | {
        "better_torch": best,
        "ratio": round(ratio, 3),
        "ratio_min": round(min(ratios), 3),
        "ratio_max": round(max(ratios), 3),
    }


def make_sides(config: RunConfig, *, compiled: bool) -> dict[str, TimedRun]:
    """Every side, from equal weights and over the same batches; `compiled` adds the one under torch.compile."""
    rng = np.random.default_rng(0)
    shape = (config.train.steps_per_dispatch, config.batch_size, config.window + 1)
    ids = rng.integers(0, VOCAB_SIZE, shape, dtype=np.int32)
    batches = {
        "tokens": ids[..., :-1],
        "targets": np.ascontiguousarray(ids[..., 1:]),
        "mask": np.ones(ids[..., 1:].shape, np.float32),
    }
    params = Model(config.model, config.precision).init(jax.random.key(0))
    sides = {"jaxdec": jax_side(config, batches), "torch_eager": torch_side(config, params, batches, compiled=False)}
    return sides | ({"torch_compile": torch_side(config, params, batches, compiled=True)} if compiled else {})


def jax_side(config: RunConfig, batches: dict[str, np.ndarray]) -> TimedRun:
    """Our side, in dispatches of up to `train.steps_per_dispatch` steps."""
    mesh = make_mesh(config.mesh)
    optimizer = make_optimizer(config.optim, config.decay_steps)
    learner = Learner(Model(config.model, config.precision), optimizer, LANGUAGE)
    run_steps = make_run_steps(learner, mesh)
    one_part = {name: leaf[:, None] for name, leaf in batches.items()}
    with jax.set_mesh(mesh):
        state = create_state(learner, mesh, seed=0)

    def run(steps: int) -> list[float]:
        nonlocal state
        losses = []
        with jax.set_mesh(mesh):
            for done in range(0, steps, config.train.steps_per_dispatch):
                count = min(steps - done, config.train.steps_per_dispatch)
                state, metrics = run_steps(state, one_part, np.int32(count), jax.random.key(1))
                losses.append(metrics["loss"][:count])
            jax.block_until_ready(state)
        return [float(loss) for part in losses for loss in part]

    return run


def torch_side(config: RunConfig, params: Params, batches: dict[str, np.ndarray], *, compiled: bool) -> TimedRun:
    """The twin's side: eager, or through torch.compile."""
    import torch

    from jaxdec.weights.torchref import to_torchref
    from torchref.models.wirings import make_model
    from torchref.training.loop import train_step
    from torchref.training.optim import make_optimizer as make_torch_optimizer

    torch.set_num_threads(os.cpu_count() or 1)
    model = make_model(config.model, compute_dtype=torch.float32)
    model.load_state_dict(to_torchref(params, model.state_dict()))
    optimizer = make_torch_optimizer(model, config.optim, fused=True)
    forward: Any = torch.compile(model) if compiled else model
    step_fn = partial(train_step, forward, optimizer, config)
    done = 0

    def run(steps: int) -> list[float]:
        nonlocal done
        losses = []
        for index in range(steps):
            batch = {name: leaf[index % len(leaf)] for name, leaf in batches.items()}
            losses.append(step_fn(batch, done)["loss"])
            done += 1
        return [float(loss) for loss in losses]

    return run
