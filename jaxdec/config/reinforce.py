"""The stage that learns from rewards, as a value."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar, Literal

from jaxdec.config.model import DECODERS
from jaxdec.config.parts import Config, require, require_whole
from jaxdec.config.setting import setting

Average = Literal["sequence", "token", "window"]
Baseline = Literal["normalized", "centered"]
Reward = Literal["exact", "partial"]


@dataclass(frozen=True)
class Reinforce(Config):
    """Reinforcement on answers that can be checked, by GRPO (Shao et al. 2024): better ones become likelier."""

    kind: ClassVar[str] = "reinforce"
    models: ClassVar[tuple[type, ...]] = DECODERS
    loss_unit: ClassVar[str] = "policy loss per answer token"
    group: int = setting(16, "answers that are sampled for each prompt")
    updates: int = setting(2, "train steps on the same sampled answers")
    temperature: float = setting(1.0, "divides the logits, in the sampler and in the loss")
    answer_tokens: int | None = setting(None, "the most tokens of an answer; None: those of the longest right one")
    reward: Reward = setting(
        "exact", "exact: 1 for the right answer, else 0; partial: the share of characters in their place"
    )
    baseline: Baseline = setting(
        "normalized",
        "advantage of an answer: reward less the group's mean, normalized: over its standard deviation (GRPO); "
        "centered: as it is (Dr. GRPO)",
    )
    clip: float = setting(0.2, "ratios of probabilities count up to 1 - clip and 1 + clip")
    kl: float = setting(0.04, "coefficient of the divergence from the model at step 0")
    average: Average = setting(
        "sequence",
        "sequence: mean over tokens of each answer, then over answers (GRPO); token: over all tokens (DAPO); window: "
        "sum over an answer's tokens by the window's length, then mean over answers (Dr. GRPO)",
    )

    def __post_init__(self) -> None:
        require_whole(self, "stage", "updates", "answer_tokens")
        require(
            self.group >= 2,
            f"stage.group is {self.group}: an answer is compared with the others of its group; give 2 or more",
        )
        require(
            self.temperature > 0 and math.isfinite(self.temperature),
            f"stage.temperature is {self.temperature}: give a positive number",
        )
        require(0 < self.clip < 1, f"stage.clip is {self.clip}: give a number between 0 and 1")
        require(self.kl >= 0 and math.isfinite(self.kl), f"stage.kl is {self.kl}: give 0, for none, or more")
