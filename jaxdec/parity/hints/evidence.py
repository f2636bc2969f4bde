"""What a search for hints starts from: the reference's values, the candidate's on these, and which modules differ."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np

from jaxdec.parity.compare import tolerances
from jaxdec.parity.compare.comparison import aligned
from jaxdec.parity.locate.replay import WHOLE, excess, given, owner
from jaxdec.parity.report.report import Hint
from jaxdec.parity.setting import Arrays, Setting
from jaxdec.parity.sides.recording import Forward
from jaxdec.parity.sides.stages import Sides

Finish = Callable[[np.ndarray], np.ndarray]
Projections = list[dict[str, str]]  # for each place in the model, by role, the name of a projection or of its parameter


class Two(NamedTuple):
    """The same quantity on both sides."""

    reference: Any
    candidate: Any

    @property
    def alike(self) -> bool:
        """Whether the shapes are the same, so that one formula may make both."""
        return np.shape(self.reference) == np.shape(self.candidate)


class Evidence:
    """Everything is recorded at most once."""

    def __init__(self, sides: Sides, at: Setting) -> None:
        self.sides, self.at = sides, at
        self.attentions: list[dict[str, Any]] = []  # options by which modules were recognised so far
        self.unknown: set[str] = set()  # patterns of modules that were not

    @cached_property
    def theirs(self) -> Forward:
        return self.sides.reference.forward(self.at)

    @cached_property
    def ours(self) -> Forward:
        """Every module of the candidate on the reference's values."""
        return self.sides.candidate.replay(self.at, *given(self.theirs))

    @cached_property
    def names(self) -> list[str]:
        """Modules that both sides have, in the order in which they end."""
        return [name for name in self.theirs.left if name in self.ours.left]

    @cached_property
    def faults(self) -> dict[str, float]:
        """Modules whose own code differs, and by how much."""
        return {name: error for name, error in self.errors(self.ours).items() if not error <= tolerances.SEMANTIC.limit}

    def errors(self, ours: Forward) -> dict[str, float]:
        """For each module the largest difference of what it returns and of what it hands to those inside it."""
        errors = dict.fromkeys([*self.names, WHOLE], 0.0)
        for name in self.names:
            around = owner(name, self.names)
            if name in ours.entered and name in self.theirs.entered:
                errors[around] = max(errors[around], _or_infinite(excess(ours.entered, self.theirs.entered, name)))
            errors[name] = max(errors[name], _or_infinite(excess(ours.left, self.theirs.left, name)))
        errors[WHOLE] = max(errors[WHOLE], _or_infinite(excess(ours.logits, self.theirs.logits, "logits")))
        return errors

    @cached_property
    def params(self) -> Arrays:
        """The weights under the candidate's names, in its layouts."""
        return self.sides.transfer.weights(self.at).candidate

    def own_params(self, name: str) -> Arrays:
        """A module's parameters by the rest of their names, without those of tapped modules inside it."""
        prefix = "" if name == WHOLE else name + "."
        return {
            key.removeprefix(prefix): value
            for key, value in self.params.items()
            if key.startswith(prefix) and owner(key, self.names) == name
        }

    def inside(self, name: str) -> list[str]:
        """The reference's modules directly inside one, in the order of execution; the candidate may have fused some."""
        return [each for each in self.theirs.left if owner(each, self.theirs.left) == name]

    def left(self, name: str) -> Two:
        """What a module returns; of the whole model, the logits."""
        if name == WHOLE:
            return self.logits
        true = self.theirs.left[name]
        return Two(true, aligned(self.ours.left[name], true))

    def handed(self, name: str) -> Two | None:
        """What arrives at a module: on the candidate's side by the code around it."""
        if name not in self.theirs.entered or name not in self.ours.entered:
            return None
        true = self.theirs.entered[name]
        return Two(true, aligned(self.ours.entered[name], true))

    def after(self, name: str) -> tuple[Two, Finish] | None:
        """What arrives at the last module inside another; where the candidate does not show it, what that one returns,
        and the reference's own module to take the other there."""
        if (inner := self.inside(name)) and (targets := self.handed(inner[-1])) is not None:
            return targets, lambda value: value
        if not inner or role_of(inner[-1]) not in ("out", "down"):
            return None
        module = self.module(inner[-1])

        def finish(value: np.ndarray) -> np.ndarray:
            import torch

            with torch.no_grad():
                return module(torch.from_numpy(np.ascontiguousarray(value))).numpy()

        return self.left(name), finish

    def module(self, name: str) -> Any:
        """The reference's module behind a tap."""
        model = self.sides.reference.build(self.at)
        paths = {tap: path for path, tap in self.sides.reference.names(model).items()}
        return model.get_submodule(paths[name])

    @property
    def logits(self) -> Two:
        return Two(self.theirs.logits["logits"], self.ours.logits["logits"])


def _or_infinite(error: float) -> float:
    return np.inf if np.isnan(error) else error


def pattern(name: str) -> str:
    """The name with every number as "*": the same module of all layers."""
    return re.sub(r"\d+", "*", name)


def last(name: str) -> str:
    return name.rpartition(".")[2]


def role_of(name: str) -> str | None:
    """What a projection is for, by the names that are in use: "query", "key", "value", "qkv", "out", "gate", "up" or
    "down"; None for any other."""
    return next((role for role, names in ROLES.items() if stem(last(name)) in names), None)


def stem(part: str) -> str:
    """ "gate" of "gate_bias"."""
    return re.sub(r"_(bias|weight|kernel)$", "", part)


ROLES: Mapping[str, tuple[str, ...]] = {
    "query": ("query", "q_proj", "wq", "q", "to_q", "query_proj", "q_lin"),
    "key": ("key", "k_proj", "wk", "k", "to_k", "key_proj", "k_lin"),
    "value": ("value", "v_proj", "wv", "v", "to_v", "value_proj", "v_lin"),
    "qkv": ("qkv", "c_attn", "qkv_proj", "query_key_value", "Wqkv", "in_proj"),
    "out": ("out", "o_proj", "wo", "out_proj", "to_out", "dense", "c_proj", "proj"),
    "gate": ("gate", "gate_proj", "w1"),
    "up": ("up", "up_proj", "w3", "c_fc", "fc1", "fc_in", "wi"),
    "down": ("down", "down_proj", "w2", "fc2", "fc_out", "wo"),
}


def merged(found: list[Hint]) -> list[Hint]:
    """One hint for all modules of which the same is true."""
    groups: dict[tuple[str, str], list[Hint]] = {}
    for hint in found:
        groups.setdefault((hint.seam, re.sub(r"\([\d.e+-]+\)|at [\d.e+-]+", "", hint.text)), []).append(hint)
    hints = []
    for same in groups.values():
        first, worst = same[0], max(hint.residual for hint in same)
        others = len(same) - 1
        more = f"; the same in {others} more place{'s' * (others > 1)}" if others else ""
        hints.append(Hint(first.seam, first.where, worst, first.text + more))
    return hints
