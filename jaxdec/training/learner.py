"""What one update is made of: a model, what it minimises, an optimizer, and the parameters that they may change."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import TypeVar

import optax

from jaxdec.config.run import RunConfig
from jaxdec.config.trainable import Everything, LastBlocks, LoRA, Matching, Trainable
from jaxdec.errors import UserError, listed
from jaxdec.models.functional import Model
from jaxdec.training.optim import make_optimizer
from jaxdec.training.stage import Objective, Stage
from jaxdec.weights.lora import is_adapter

Leaf = TypeVar("Leaf")
BLOCK = re.compile(r"(?:blocks|decoder)\.(\d+)\.")
NORMS, OUTPUTS = ("final_norm", "decoder_norm"), ("head", "classifier")


@dataclass(frozen=True)
class Learner:
    """`trainable`: names of the parameters that are trained, None for all. The others are constants of the train step:
    they have no gradient and no moments. `updates`: the train step measures the size of its update too. `keeps_first`:
    whether the state keeps the first values of the trained parameters."""

    model: Model
    optimizer: optax.GradientTransformation
    objective: Objective
    trainable: frozenset[str] | None = None
    updates: bool = False
    keeps_first: bool = False

    def split(self, params: Mapping[str, Leaf]) -> tuple[dict[str, Leaf], dict[str, Leaf]]:
        """The trained and the frozen parameters; also for any other values by parameter name."""
        if self.trainable is None:
            return dict(params), {}
        trained = {name: param for name, param in params.items() if name in self.trainable}
        return trained, {name: param for name, param in params.items() if name not in self.trainable}


def make_learner(config: RunConfig, stage: Stage) -> Learner:
    """The learner of a run. Raises UserError for a pattern of `trainable` that no parameter has."""
    optimizer = make_optimizer(config.optim, config.decay_steps)
    trainable = trainable_names(config.trainable, stage.model.axes)
    return Learner(
        stage.model,
        optimizer,
        stage.objective,
        trainable,
        updates=config.log.updates,
        keeps_first=stage.rollouts is not None,
    )


def trainable_names(trainable: Trainable, names: Iterable[str]) -> frozenset[str] | None:
    """Which of the parameters `names` are trained; None: all of them."""
    match trainable:
        case Everything():
            return None
        case Matching(patterns=patterns):
            known = list(names)
            for pattern in patterns:
                if not any(fnmatchcase(name, pattern) for name in known):
                    raise UserError(f"trainable.patterns: no parameter is called {pattern!r}; {_near(pattern, known)}")
            return frozenset(name for name in known if any(fnmatchcase(name, pattern) for pattern in patterns))
        case LastBlocks(blocks=blocks):
            return last_blocks(blocks, list(names))
        case LoRA():
            return frozenset(name for name in names if is_adapter(name) or name.startswith("classifier."))
        case _:
            raise UserError(f"trainable is {trainable!r}: give a value of a kind in jaxdec/config/trainable.py")


def last_blocks(blocks: int, names: Sequence[str]) -> frozenset[str]:
    """The parameters of the last `blocks` blocks (of a decoder, or of an encoder-decoder's decoder) and of the final
    norm, and of the head or classifier. Raises UserError where there are fewer blocks, or nothing is left to train."""
    found = [(name, BLOCK.match(name)) for name in names]
    there = 1 + max((int(match[1]) for _, match in found if match), default=-1)
    if blocks > there:
        raise UserError(f"trainable.blocks is {blocks}, and the model has {there}: give a whole number up to {there}")
    outer = (*OUTPUTS, *(NORMS if blocks else ()))
    trained = frozenset(
        name for name, match in found if (match and int(match[1]) >= there - blocks) or name.partition(".")[0] in outer
    )
    if not trained:
        raise UserError(
            "trainable.blocks is 0, and the head of this model is its token table (model.tied_head): give 1 or more "
            "blocks, or --trainable matching --trainable.patterns token_embed.*"
        )
    return trained


def _near(pattern: str, names: Sequence[str]) -> str:
    close = difflib.get_close_matches(pattern, names, n=3, cutoff=0.4)
    return f"the nearest names are {', '.join(close)}" if close else f"names are {listed(names)}"
