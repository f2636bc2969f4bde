"""Stages of training as values: what a model is trained to do. Which parameters learn stands in `trainable.py`.

Imports neither jax nor torch. A stage's value holds its settings and says which models it trains; how it is done stands
in `jaxdec/stages/<kind>.py`. To add one: a class here, its name in `AnyStage`, its module, a line in
`jaxdec/stages/registry.py`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from jaxdec.config.classify import Classify
from jaxdec.config.instruct import Instruct
from jaxdec.config.model import DECODERS, AnyModel, EncoderDecoderConfig
from jaxdec.config.parts import Config
from jaxdec.config.preference import Preference
from jaxdec.config.reinforce import Reinforce
from jaxdec.errors import UserError

# Stages. `models`: the kinds of model that a stage trains. `loss_unit`: what its loss is in, for pictures and tables.


@dataclass(frozen=True)
class Pretrain(Config):
    """Language modelling: predict each token of a text from those before it."""

    kind: ClassVar[str] = "pretrain"
    models: ClassVar[tuple[type, ...]] = DECODERS
    loss_unit: ClassVar[str] = "nats per token"


@dataclass(frozen=True)
class Translate(Config):
    """Predict the target of a pair from its source and from the target's tokens so far."""

    kind: ClassVar[str] = "translate"
    models: ClassVar[tuple[type, ...]] = (EncoderDecoderConfig,)
    loss_unit: ClassVar[str] = "nats per token"


AnyStage = Pretrain | Translate | Instruct | Preference | Classify | Reinforce


def default_stage(model: AnyModel) -> AnyStage:
    """The stage of a run that names none: `Translate` for an encoder-decoder, `Pretrain` for all other models."""
    for stage in (Pretrain, Translate):
        if isinstance(model, stage.models):
            return stage()
    raise UserError(f"no stage trains a model of kind {model.kind} unless it is named: give --stage KIND")
