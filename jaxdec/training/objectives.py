"""Which objective trains which kind of stage; `torchref/training/objectives.py` is the twin."""

from __future__ import annotations

from jaxdec.config.stages import AnyStage, Classify, Instruct, Preference, Pretrain, Reinforce, Translate
from jaxdec.errors import UserError
from jaxdec.training.classification import classification
from jaxdec.training.losses import LANGUAGE
from jaxdec.training.preference import preference_objective
from jaxdec.training.reinforcement import reinforcement
from jaxdec.training.stage import Objective


def objective_of(stage: AnyStage) -> Objective:
    """What a stage minimises. Raises UserError for a stage without a line here."""
    match stage:
        case Pretrain() | Translate() | Instruct():
            return LANGUAGE
        case Preference(loss=loss):
            return preference_objective(loss)
        case Classify():
            return classification(stage.at)
        case Reinforce():
            return reinforcement(stage)
        case _:
            raise UserError(f"stage {stage!r} has no objective: give a value of a kind in jaxdec/config/stages.py")
