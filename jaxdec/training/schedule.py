"""At which steps the loop stops to look or to save."""

from __future__ import annotations

from jaxdec.config.run import RunConfig


def next_stop(config: RunConfig, step: int, updates: int | None = None) -> int:
    """Where the dispatch that starts at `step` ends: when it is full, an evaluation or a checkpoint is due, or the
    `updates` are done that a rollout is good for."""
    train = config.train
    periods = [train.steps_per_dispatch, train.eval_every, train.checkpoint_every]
    periods += [] if updates is None else [updates]
    return min(*((step // period + 1) * period for period in periods), train.steps)


def is_evaluated(config: RunConfig, step: int) -> bool:
    """Whether an evaluation is due after `step` steps, beside the one at the end."""
    train = config.train
    return train.evaluate == "all" and step % train.eval_every == 0 and step < train.steps


def is_saved(config: RunConfig, step: int) -> bool:
    """Whether a checkpoint is due after `step` steps."""
    return step % config.train.checkpoint_every == 0 or step == config.train.steps
