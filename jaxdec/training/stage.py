"""What distinguishes one kind of training from another, and how its batches reach the devices."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding

from jaxdec.config.run import RunConfig
from jaxdec.data.tokenizers.registry import Tokenizer
from jaxdec.distributed.sharding import spec
from jaxdec.errors import UserError
from jaxdec.models.functional import Params
from jaxdec.models.output import Output

Batch = Mapping[str, Any]
Loss = Callable[[Output, Batch], tuple[jax.Array, dict[str, jax.Array]]]
Evaluator = Callable[[Params], Iterator[tuple[str, float]]]


@dataclass(frozen=True)
class Stage:
    """What distinguishes one kind of training from another. It holds no loop."""

    batch: Callable[[int, int], dict[str, np.ndarray]]  # (seed, step) -> the global batch, leaves [B, ...]
    loss: Loss
    evaluators: tuple[Evaluator, ...]  # every train.eval_every steps
    final_evaluators: tuple[Evaluator, ...]  # once, after the last step
    tokenizer: Tokenizer
    data: str  # hash of what is trained on


def microbatches(config: RunConfig, shards: int) -> int:
    """Into how many accumulated parts a step's batch is cut when `shards` devices share each part."""
    batch, at_once = config.batch_size, config.train.microbatch
    if batch % shards:
        raise UserError(
            f"a step of {batch} sequences (train.tokens_per_step / window) is not divisible by the {shards} devices "
            f"of the mesh: try train.tokens_per_step {-(-batch // shards) * shards * config.window}, or another mesh"
        )
    share = batch // shards
    if at_once is None or at_once >= share:
        return 1
    if share % at_once:
        raise UserError(
            f"train.microbatch {at_once} does not divide the {share} sequences of each device: try a divisor"
        )
    return share // at_once


def dispatch_batches(config: RunConfig, stage: Stage, mesh: Mesh, parts: int, step: int, count: int) -> Batch:
    """The batches of steps step .. step + count - 1 on the devices, [K, A, B/A, ...] with the rest of K repeated."""
    slots = config.train.steps_per_dispatch
    steps = [stage.batch(config.train.seed, step + index) for index in range(count)]
    steps += steps[-1:] * (slots - count)
    on_devices = {}
    for name in steps[0]:
        stacked = np.stack([batch[name] for batch in steps])
        stacked = stacked.reshape(slots, parts, -1, *stacked.shape[2:])
        sharding = NamedSharding(mesh, spec((None, None, "batch")))
        on_devices[name] = jax.make_array_from_callback(stacked.shape, sharding, stacked.__getitem__)
    return on_devices
