"""What distinguishes one kind of training from another, and how its batches reach the devices."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding

from jaxdec.config.run import RunConfig
from jaxdec.data.batches import Batch
from jaxdec.data.tokenizers.registry import Tokenizer
from jaxdec.distributed.sharding import spec
from jaxdec.errors import UserError
from jaxdec.models.functional import Model, Params
from jaxdec.models.output import Output
from jaxdec.runs.reference import ReferenceValues

Evaluator = Callable[[Params], Iterator[tuple[str, float]]]
Initial = Callable[[], Params]  # gives a run's first parameters, once, so that nobody holds them longer than needed


class Apply(Protocol):
    """A model as a pure function, `Model.read`: the output for the tokens, and the other inputs, of a batch.

    A key means training: dropout is on. A loss may call it several times, with other parameters or other batches.
    """

    def __call__(self, params: Params, batch: Batch, *, key: jax.Array | None = None) -> Output: ...


class Loss(Protocol):
    """(sum, sums): the loss summed over what counts in the batch, in nats, and named sums for the log, divided alike.

    It is differentiated with respect to `params`. `key` is for dropout, and another at each step and microbatch.
    """

    def __call__(
        self, apply: Apply, params: Params, batch: Batch, key: jax.Array
    ) -> tuple[jax.Array, dict[str, jax.Array]]: ...


class Objective(NamedTuple):
    """What is minimised: the sum of `loss` over a global batch, divided by its `count`.

    The count (targets, sequences, pairs ...) is a function of the batch alone: it is known before the forward pass, so
    that the sum of each microbatch is divided by the count of the whole batch. The gradient is then the same for any
    number of microbatches; a mean of their means would differ if their counts differ.
    """

    loss: Loss
    count: Callable[[Batch], jax.Array]


class Rollouts(NamedTuple):
    """How batches are made that depend on the parameters: what the model itself has written, say.

    make: (params, first, batch, step) -> the batch that is trained on, and numbers for the log. A pure function:
        `batch` is what `Stage.batch` gives for this step; params, as they are now; first, as they were at step 0.
    updates: train steps on one such batch. A rollout is made anew at every step that this number divides, and a run
        stops, is evaluated and is saved there alone, so that one which was killed goes on with the same bits.
    """

    make: Callable[[Params, Params, Batch, int], tuple[Batch, Mapping[str, float]]]
    updates: int


class Reference(NamedTuple):
    """What a stage has to measure of the run's first parameters, once, since training changes them: the
    log-probabilities of a reference policy, and the like.

    `measure(params)` gives arrays by name, for `complete`, which returns the stage that trains. A run directory keeps
    them (`runs/reference.py`).
    """

    measure: Callable[[Params], ReferenceValues]
    complete: Callable[[ReferenceValues], Stage]


@dataclass(frozen=True)
class Stage:
    """One kind of training on one dataset. It holds no loop and no state.

    Batches are a pure function of (seed, step): all leaves are [B, ...] with B = `config.batch_size`; with `rollouts`,
    which make the batch that is trained on out of that, of the parameters too. Evaluators yield (name, value); the same
    programs serve both tuples, so that each is compiled once in a run.
    """

    model: Model
    batch: Callable[[int, int], Batch]  # (seed, step) -> the global batch
    objective: Objective
    evaluators: tuple[Evaluator, ...]  # every train.eval_every steps
    final_evaluators: tuple[Evaluator, ...]  # once, after the last step, and by `jaxdec evaluate`
    tokenizer: Tokenizer
    data: str  # hash of what is trained on
    notes: Mapping[str, str] = field(default_factory=dict)  # what `jaxdec evaluate` says beside the figures
    reference: Reference | None = None  # of a stage that cannot train before it is completed
    measured: ReferenceValues | None = None  # what it was completed with
    files: Callable[[Params, Path], None] | None = None  # writes pictures, answers ... into a run that has ended
    rollouts: Rollouts | None = None


def microbatches(config: RunConfig, shards: int) -> int:
    """Into how many accumulated parts a step's batch is cut when `shards` devices share each part."""
    batch, at_once = config.batch_size, config.train.microbatch
    if batch % shards:
        raise UserError(
            f"a step of {batch} sequences (train.tokens_per_step / window) is not divisible by the {shards} devices of "
            f"the mesh: try train.tokens_per_step {-(-batch // shards) * shards * config.example_tokens}, or another "
            "mesh"
        )
    share = batch // shards
    if at_once is None or at_once >= share:
        return 1
    if share % at_once:
        raise UserError(
            f"train.microbatch {at_once} does not divide the {share} sequences of each device: try a divisor"
        )
    return share // at_once


def require_whole_rollouts(config: RunConfig, stage: Stage) -> None:
    """Raises UserError where a run would end, be evaluated or be saved between the updates on one rollout."""
    updates, train = 1 if stage.rollouts is None else stage.rollouts.updates, config.train
    for name in ("steps", "checkpoint_every", *(["eval_every"] if train.evaluate == "all" else [])):
        value = getattr(train, name)
        if value % updates:
            raise UserError(
                f"train.{name} {value} is not a multiple of the {updates} updates on one rollout (stage.updates): try "
                f"{-(-value // updates) * updates}"
            )


def dispatch_batches(config: RunConfig, steps: Sequence[Batch], mesh: Mesh, parts: int) -> Batch:
    """The batches of a dispatch's steps on the devices, [K, A, B/A, ...] with the rest of K repeated."""
    slots = config.train.steps_per_dispatch
    steps = [*steps, *[steps[-1]] * (slots - len(steps))]
    on_devices: dict[str, Any] = {}
    for name in steps[0]:
        stacked = np.stack([batch[name] for batch in steps])
        stacked = stacked.reshape(slots, parts, -1, *stacked.shape[2:])
        sharding = NamedSharding(mesh, spec((None, None, "batch")))
        on_devices[name] = jax.make_array_from_callback(stacked.shape, sharding, stacked.__getitem__)
    return on_devices
