"""What is compared: a model's config, a recipe of training, a regime of weights, and data that follow from a seed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from jaxdec.config import DataConfig, FloatType, OptimConfig, Precision, RunConfig, TrainConfig
from jaxdec.layer_config import MoE
from jaxdec.model_config import AnyModel
from jaxdec.parity.comparison import norm_of_all
from jaxdec.parity.weights import Regime
from tests.variants import GPT, MODELS

Batch = dict[str, np.ndarray]

STEPS = 100
MARKS = (1, 10, STEPS)  # steps after which updates are compared
OPTIM = OptimConfig(
    learning_rate=1e-3,
    min_learning_rate=1e-4,
    warmup_steps=10,
    decay_steps=90,  # so that the last steps run at the minimum
    beta2=0.99,
    weight_decay=0.1,
    clip_norm=1.0,
)


@dataclass(frozen=True)
class Case:
    """One comparison. `config.data.window` and `config.batch_size` give the batch's shape."""

    name: str
    config: RunConfig
    regime: Regime
    seed: int = 0

    def __str__(self) -> str:
        return f"{self.name}-{self.regime}"

    @property
    def vocab_size(self) -> int:
        assert self.config.model.vocab_size is not None
        return self.config.model.vocab_size

    def batches(self, count: int) -> list[Batch]:
        """Random tokens of which the targets are the next ones; the number of targets that count differs from row to
        row, and from batch to batch."""
        rng = np.random.default_rng(self.seed)
        shape = (self.config.batch_size, self.config.window)
        batches = []
        for _ in range(count):
            text = rng.integers(0, self.vocab_size, (shape[0], shape[1] + 1), dtype=np.int32)
            share = np.linspace(0.25, 1, shape[0])[:, None]
            mask = (rng.random(shape) < share).astype(np.float32)
            batches.append({"tokens": text[:, :-1], "targets": text[:, 1:], "mask": mask})
        return batches

    def prompts(self) -> list[np.ndarray]:
        """One prompt a row, of unequal lengths, the last one longer than the context."""
        context, rng = self.config.model.context, np.random.default_rng(self.seed)
        lengths = [1, context // 2, context, context + 3]
        return [rng.integers(0, self.vocab_size, length, dtype=np.int32) for length in lengths]

    def gradients(self, shapes: Mapping[str, Any]) -> list[dict[str, np.ndarray]]:
        """Made-up gradients for an optimizer: elements from far below Adam's epsilon up to one, and whole norms on both
        sides of the clip."""
        rng = np.random.default_rng(self.seed)
        sets = []
        for norm in (3.0, 0.2, 1.5, 0.7, 40.0):
            drawn = {
                name: rng.standard_normal(at.shape) * 10 ** rng.uniform(-9, 0, at.shape)
                for name, at in sorted(shapes.items())
            }
            scale = norm / norm_of_all(drawn)
            sets.append({name: (scale * value).astype(np.float32).astype(np.float64) for name, value in drawn.items()})
        return sets

    def with_dropout(self) -> Case:
        return replace(self, config=replace(self.config, model=replace(self.config.model, dropout=0.2)))

    @property
    def routed(self) -> bool:
        """Whether a router's losses and capacities are part of the model."""
        config = self.config.model.decoder
        return config is not None and any(isinstance(config.mlp_of(layer), MoE) for layer in range(config.layers))

    def keep_masks(self) -> list[tuple[str, np.ndarray]]:
        """One mask for each place that drops, in the order of execution, with the twin's name of the place."""
        config, rng = self.config.model.decoder, np.random.default_rng(self.seed)
        assert config is not None
        stream = (self.config.batch_size, self.config.window, config.width)
        weights = (self.config.batch_size, config.heads, self.config.window, self.config.window)
        places = [("dropout", stream)]
        for layer in range(config.layers):
            block = f"blocks.{layer}."
            places += [(block + "attention.dropout", weights), (block + "attention_dropout", stream)]
            places += [(block + "mlp_dropout", stream)]
        return [(path, rng.random(shape) >= config.dropout) for path, shape in places]

    def at(self, compute: FloatType) -> Case:
        """The same case in another precision; bfloat16 computes from float32 parameters."""
        precision = Precision(params="float32" if compute == "bfloat16" else compute, compute=compute)
        return replace(self, config=replace(self.config, precision=precision))


def make_case(name: str, model: AnyModel, regime: Regime, *, batch_size: int = 4, window: int | None = None) -> Case:
    """A case in float64, with the recipe that all share."""
    tokens = batch_size * (window or model.context)
    config = RunConfig(
        model=model,
        data=DataConfig(corpus="random", window=window),
        optim=OPTIM,
        train=TrainConfig(steps=STEPS, tokens_per_step=tokens),
        precision=Precision("float64", "float64"),
    )
    return Case(name, config.check(), regime)


SHORT = make_case("window below the context", GPT, "generic", window=11)
CASES = [make_case(name, model, regime) for name, model in MODELS.items() for regime in ("init", "generic")] + [SHORT]
INIT, GENERIC = CASES[:2]


def case_of(name: str, regime: Regime = "generic") -> Case:
    """The case of a model and a regime."""
    return next(case for case in CASES if (case.name, case.regime) == (name, regime))
