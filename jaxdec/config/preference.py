"""The stage that learns from preferences: pairs of answers to one prompt, of which one was chosen and one rejected.

Imports neither jax nor torch.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

from jaxdec.config.decoder import DecoderConfig
from jaxdec.config.instruct import Alpaca, Template
from jaxdec.config.parts import Config, require
from jaxdec.config.setting import setting
from jaxdec.config.splits import require_split

# What is minimised, a function of the margin h: the log-probability ratio of the chosen answer between the policy and
# the reference, minus that of the rejected one.


@dataclass(frozen=True)
class DPO(Config):
    """Direct preference optimisation (Rafailov et al. 2023, eq. 7): -log sigmoid(beta h).

    With label_smoothing e, the share of pairs that are taken to be labelled the wrong way round (conservative DPO,
    Mitchell 2023): -(1 - e) log sigmoid(beta h) - e log sigmoid(-beta h).
    """

    kind: ClassVar[str] = "dpo"
    beta: float = setting(0.1, "how strongly the policy is held to the reference: rewards are beta times log ratios")
    label_smoothing: float = setting(0.0, "share of pairs taken to be labelled the wrong way round, below 0.5")

    def __post_init__(self) -> None:
        require(self.beta > 0, f"stage.loss.beta is {self.beta}: give more than 0")
        require(
            0 <= self.label_smoothing < 0.5,
            f"stage.loss.label_smoothing is {self.label_smoothing}: give 0 or more, below 0.5",
        )


@dataclass(frozen=True)
class IPO(Config):
    """Identity preference optimisation (Azar et al. 2023, eq. 17): (h - 1 / (2 tau))^2, a margin to reach and not to
    pass. Log-probabilities are sums over the answer, as in the paper."""

    kind: ClassVar[str] = "ipo"
    tau: float = setting(0.1, "how strongly the policy is held to the reference: the margin aimed at is 1 / (2 tau)")

    def __post_init__(self) -> None:
        require(self.tau > 0, f"stage.loss.tau is {self.tau}: give more than 0")


PreferenceLoss = DPO | IPO


@dataclass(frozen=True)
class Preference(Config):
    """Make the chosen answer of each pair more probable than the rejected one, measured against the model that the run
    starts from."""

    kind: ClassVar[str] = "preference"
    models: ClassVar[tuple[type, ...]] = (DecoderConfig,)
    loss_unit: ClassVar[str] = "loss per pair"
    sequences: ClassVar[int] = 2  # of an example
    loss: PreferenceLoss = setting(DPO(), "what is minimised")
    template: Template = setting(Alpaca(), "how instruction and input become a prompt; a `prompt` is taken as it is")
    too_long: Literal["leave_out", "cut"] = setting(
        "leave_out", "what happens to a pair longer than the window; cut: the end of its answers is lost"
    )
    test_fraction: float = setting(0.1, "share of the prompts that is scored at the end alone")
    split_seed: int | None = setting(
        0, "seed of the split into training, validation and test; None: by the order of the file"
    )

    def __post_init__(self) -> None:
        require_split(self.test_fraction, self.split_seed)
