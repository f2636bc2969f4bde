"""The state of a training run as one file, which `jaxdec` writes and reads too: parameters, moments, step, settings.

A file of `torch.save` that holds tensors, numbers and strings alone, so that `torch.load(..., weights_only=True)` reads
it: `model`, a state_dict; `optimizer`, AdamW's state_dict, which knows parameters by number; `numbered`, the names that
the numbers stand for; `step`, the updates made; `trained`, the names of the parameters that are not frozen; `run` and
`config`, the settings of the run and of its model as JSON. The schedule is a function of the settings and the step.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from copy import deepcopy
from dataclasses import dataclass
from typing import Any

import torch

from jaxdec.config.run import RunConfig
from jaxdec.config.yaml import config_from_dict, config_to_dict
from torchref.models.language_model import LanguageModel
from torchref.models.wirings import make_model
from torchref.training.optim import learning_rate, make_optimizer, set_learning_rate

FORMAT = "training state of torchref, 1"


@dataclass
class Training:
    """A run between two updates; `step` counts those made, as `train_step` wants it. Frozen parameters need no
    gradient."""

    model: LanguageModel
    optimizer: torch.optim.AdamW
    config: RunConfig
    step: int


def begin(config: RunConfig, trained: Iterable[str] | None = None) -> Training:
    """A run at step 0 with fresh weights. `trained`: names of the parameters that are not frozen; None: all."""
    model = make_model(config.model, compute_dtype=getattr(torch, config.precision.compute), lora=config.lora)
    model = model.to(getattr(torch, config.precision.params))
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(trained is None or name in trained)
    return Training(model, make_optimizer(model, config.optim), config, 0)


def restore(saved: Mapping[str, Any]) -> Training:
    """A run from what `collect`, or `jaxdec`, made; training it leaves `saved` as it is."""
    training = begin(config_from_dict(json.loads(saved["run"])), frozenset(saved["trained"]))
    training.model.load_state_dict(saved["model"])
    training.optimizer.load_state_dict(deepcopy(saved["optimizer"]))  # torch would keep these tensors
    training.step = saved["step"]
    return training


def collect(training: Training) -> dict[str, Any]:
    """The run as a dict for `torch.save`, its tensors shared. Learning rates in it are those of the next update."""
    config = training.config
    set_learning_rate(training.optimizer, learning_rate(config.optim, config.decay_steps, training.step))
    values = config_to_dict(config)
    names = {id(parameter): name for name, parameter in training.model.named_parameters()}
    return {
        "format": FORMAT,
        "step": training.step,
        "trained": [name for name, parameter in training.model.named_parameters() if parameter.requires_grad],
        "numbered": [names[id(each)] for group in training.optimizer.param_groups for each in group["params"]],
        "model": training.model.state_dict(),
        "optimizer": training.optimizer.state_dict(),
        "config": json.dumps(values["model"]),
        "run": json.dumps(values),
    }
