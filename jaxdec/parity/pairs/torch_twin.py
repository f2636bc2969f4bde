"""The PyTorch half of our pairs: `torchref` as a `Reference`."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from jaxdec.parity.adapters.reference import Reference
from jaxdec.parity.pairs.run import TwinRun, params_dtype
from torchref.generation import generate
from torchref.models import wirings
from torchref.models.language_model import LanguageModel
from torchref.training import loop as train
from torchref.training import optim
from torchref.training.objectives import objective_of


class TorchTwin:
    """Looks everything up in `torchref` at each call, so that a patched module is the one that runs."""

    def __init__(self, run: TwinRun) -> None:
        self.run, self.objective = run, objective_of(run.config.resolved_stage)

    def reference(self) -> Reference:
        return Reference(
            model=self.build, call=self.call, loss=self.mean_loss, backward=self.backward, optimizer=self.optimizer,
            generate=self.generate,
        )  # fmt: skip

    def build(self, precision: str, *, seed: int = 0) -> LanguageModel:
        torch.manual_seed(seed)
        config = self.run.at(precision)
        compute_dtype = getattr(torch, config.precision.compute)
        model = wirings.make_model(config.model, compute_dtype=compute_dtype, lora=config.lora)
        trained = self.trained(name for name, _ in model.named_parameters())
        for name, parameter in model.named_parameters():
            parameter.requires_grad_(name in trained)
        return model.to(getattr(torch, params_dtype(precision))).eval()

    def trained(self, names: Iterable[str]) -> frozenset[str]:
        """Which of the parameters are trained."""
        names = list(names)
        if self.run.config.lora is None:
            return frozenset(names)
        return frozenset(name for name in names if "lora_" in name or name.startswith("classifier."))

    def call(self, model: Any, batch: Mapping[str, Tensor]) -> Any:
        return model(batch["tokens"].flatten(0, -2), *(batch[name] for name in model.inputs))

    def mean_loss(self, output: Any, batch: Mapping[str, Tensor]) -> Tensor:
        """The loss of an output that is there already."""
        model: Any = Given(output)
        return self.objective.loss(model, batch) / self.objective.count(batch)

    def backward(self, model: Any, batch: Mapping[str, Tensor], parts: int = 1) -> Tensor:
        leaves = {name: value.numpy() for name, value in batch.items()}
        return train.accumulate_gradients(model.train(), leaves, parts, self.objective)

    def optimizer(self, model: Any) -> Callable[[int], None]:
        config = self.run.config
        made = optim.make_optimizer(model, config.optim)

        def apply(step: int) -> None:
            train.update(model, made, config, step)

        return apply

    def generate(
        self,
        model: Any,
        tokens_1T: Tensor,
        count: int,
        sampling: generate.Sampling | None = None,
        gumbel: Tensor | None = None,
    ) -> Tensor:
        return generate.generate(model.eval(), tokens_1T, count, sampling or generate.Sampling(temperature=0.0), gumbel)

    def learning_rates(self, steps: int) -> np.ndarray:
        config = self.run.config
        return np.array([train.learning_rate(config.optim, config.decay_steps, step) for step in range(steps)])


class Given:
    """A model that returns what it was given, whatever it reads."""

    inputs = ()

    def __init__(self, output: Any) -> None:
        self.output = output

    def __call__(self, *inputs: Tensor) -> Any:
        return self.output


def drop(model: Any, masks: Sequence[tuple[str, np.ndarray]]) -> None:
    """Puts masks into the places that drop, by path."""
    for path, keep in masks:
        model.get_submodule(path).keep = torch.from_numpy(keep)
