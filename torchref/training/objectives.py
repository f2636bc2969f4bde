"""Which objective trains which kind of stage; `jaxdec/training/objectives.py` is the twin."""

from __future__ import annotations

from jaxdec.config.stages import AnyStage, Classify, Instruct, Preference, Pretrain, Reinforce, Translate
from torchref.training.classification import classification
from torchref.training.loop import LANGUAGE, Objective
from torchref.training.preference import preference_objective
from torchref.training.reinforcement import reinforcement


def objective_of(stage: AnyStage) -> Objective:
    """What a stage minimises. Raises ValueError for a stage without a line here."""
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
            raise ValueError(f"stage {stage!r} has no objective")
