"""The weights of a setting, on both sides: drawn once, in float64, and exact in float32."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from jaxdec.parity.adapters.reference import parameters_of
from jaxdec.parity.compare.comparison import norm_of_all
from jaxdec.parity.pair import Pair
from jaxdec.parity.setting import Arrays, Setting
from jaxdec.parity.sides.weights import as_float64
from jaxdec.weights.rules import WeightPlan, WeightRules

if TYPE_CHECKING:
    from torch import nn


class Weights(NamedTuple):
    """The same numbers under the names and in the layouts of either side."""

    candidate: Arrays
    reference: Arrays


class Transfer:
    """How a pair's weights travel; `plan.problems` says what stands in the way."""

    def __init__(self, pair: Pair) -> None:
        model = pair.reference.build("float32")
        self.pair = pair
        self.shapes = {name: ParamShape(tuple(value.shape)) for name, value in parameters_of(model).items()}
        self.plan: WeightPlan = WeightRules.parse(pair.weights).plan(
            pair.candidate.shapes, self.shapes, layouts=layouts(model)
        )
        self._drawn: dict[tuple[str, int], Weights] = {}

    def weights(self, at: Setting) -> Weights:
        """The weights of a kind and a seed, the same in every precision."""
        key = (at.weight_init, at.seed)
        if key not in self._drawn:
            make = self.pair.initial if at.weight_init == "init" else self.pair.generic
            if make is not None:
                candidate = make(at.seed)
                self._drawn[key] = Weights(candidate, self.plan.to_reference(candidate))
            else:
                reference = (
                    self._own() if at.weight_init == "init" else draw(self.pair.reference.build("float32"), at.seed)
                )
                self._drawn[key] = Weights(self.plan.to_candidate(reference), reference)
        return self._drawn[key]

    def made_up_gradients(self, seed: int) -> list[Arrays]:
        """For an optimizer, under the reference's names: elements from far below Adam's epsilon up to one, and whole
        norms on both sides of a clip. What the rules leave out gets zero, since a clip sees all that there is."""
        rng, sets = np.random.default_rng(seed), []
        for size in (3.0, 0.2, 1.5, 0.7, 40.0):
            drawn = {
                name: rng.standard_normal(at.shape) * 10 ** rng.uniform(-9, 0, at.shape)
                for name, at in sorted(self.shapes.items())
            }
            self.plan.clear_left_out(drawn)
            scale = size / norm_of_all(drawn)
            sets.append({name: (scale * value).astype(np.float32).astype(np.float64) for name, value in drawn.items()})
        return sets

    def forget(self, at: Setting) -> None:
        """Drops a setting's weights, which would be drawn the same again."""
        self._drawn.pop((at.weight_init, at.seed), None)

    def _own(self) -> Arrays:
        """The reference's own initial weights."""
        parameters = parameters_of(self.pair.reference.build("float32"))
        return as_float64({name: value.detach().float().numpy() for name, value in parameters.items()})


class ParamShape(NamedTuple):
    shape: tuple[int, ...]


def layouts(model: nn.Module) -> dict[str, Any]:
    """How matrices lie whose module is known: torch's Linear holds [out, in], transformers' Conv1D [in, out]."""
    from torch import nn

    known = {}
    for path, module in model.named_modules():
        if isinstance(module, nn.Linear):
            known[f"{path}.weight"] = "out_in"
        elif type(module).__name__ == "Conv1D":
            known[f"{path}.weight"] = "in_out"
    return known


def draw(model: nn.Module, seed: int) -> Arrays:
    """Generic weights for any module: embeddings standard normal, other matrices divided by the root of their fan,
    vectors around their initial mean (a norm's scale around one, or around zero where one is added) with a spread of
    one half. Of matrices whose layout is not known, the fan is the geometric mean of both."""
    from torch import nn

    rng, known = np.random.default_rng(seed), layouts(model)
    tables = {f"{path}.weight" for path, module in model.named_modules() if isinstance(module, nn.Embedding)}
    arrays: dict[str, Any] = {}
    for name, value in sorted(parameters_of(model).items()):
        start, normal = value.detach().double().numpy(), rng.standard_normal(tuple(value.shape))
        if value.ndim < 2 or name.endswith("bias"):
            drawn = start.mean() + 0.5 * normal
        elif name in tables:
            drawn = normal
        else:
            drawn = normal / fan(start.shape, known.get(name)) ** 0.5
        arrays[name] = drawn
    return as_float64(arrays)


def fan(shape: tuple[int, ...], layout: str | None) -> float:
    """How many inputs a row of a matrix sums."""
    rows, columns = shape[-2:]
    if layout is None:
        return (rows * columns) ** 0.5
    return {"out_in": columns, "in_out": rows}[layout]
