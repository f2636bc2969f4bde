"""Which module trains which kind of stage. Only the one in use is imported."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any, Protocol, cast

from jaxdec.config.run import RunConfig
from jaxdec.config.stages import AnyStage
from jaxdec.data.tokenizers.registry import Tokenizer
from jaxdec.errors import UserError, nearest
from jaxdec.models.functional import Model
from jaxdec.training.stage import Stage

STAGES = {  # kind of `RunConfig.stage` -> a module with the functions of `StageModule`
    "pretrain": "jaxdec.stages.pretrain",
    "translate": "jaxdec.stages.translate",
    "instruct": "jaxdec.stages.instruct",
    "preference": "jaxdec.stages.preference",
    "classify": "jaxdec.stages.classify",
    "reinforce": "jaxdec.stages.reinforce",
}


class HasTokenizer(Protocol):
    """What every dataset has."""

    @property
    def tokenizer(self) -> Tokenizer: ...


class StageModule(Protocol):
    """What a module of this folder provides: everything that its stage does not share with the others."""

    def load_data(self, config: RunConfig, *, from_file: Path | None, tokenizer: Tokenizer | None) -> HasTokenizer:
        """What the stage trains on. `from_file`: the user's copy of a corpus; `tokenizer`: that of the run that is
        continued or evaluated, None for a new run. Raises UserError for data that cannot be used."""
        ...

    def make_stage(self, config: RunConfig, model: Model, data: Any) -> Stage:
        """Batches, objective and evaluators on the data that `load_data` gave."""
        ...


def stage_module(stage: AnyStage) -> StageModule:
    """The module of a stage's kind."""
    if stage.kind not in STAGES:
        raise UserError(f"there is no stage of kind {stage.kind!r}{nearest(stage.kind, STAGES)}")
    return cast(StageModule, importlib.import_module(STAGES[stage.kind]))
