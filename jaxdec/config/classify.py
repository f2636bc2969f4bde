"""The stage `classify`: what is learnt from texts with labels. Imports neither jax nor torch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

from jaxdec.config.model import DecoderConfig
from jaxdec.config.parts import Config, require
from jaxdec.config.setting import setting

Balance = Literal["undersample", "weight", "none"]
ReadAt = Literal["last_token", "last_position"]


@dataclass(frozen=True)
class Classify(Config):
    """Tell which class a text belongs to: a linear layer reads the last hidden state of the text.

    Radford et al. 2018, "Improving Language Understanding by Generative Pre-Training", section 3.2. A text has
    `data.window` tokens at most; `data.validation_fraction` and `test_fraction` of the texts are kept apart.
    """

    kind: ClassVar[str] = "classify"
    models: ClassVar[tuple[type, ...]] = (DecoderConfig,)
    loss_unit: ClassVar[str] = "nats per text"
    labels: tuple[str, ...] | None = setting(
        None, "the classes by name, in the order of the logits; None: the labels of the data, sorted"
    )
    at: ReadAt = setting(
        "last_token", "where the classifier reads: at the last token of the text, or at the last position, after pads"
    )
    balance: Balance = setting(
        "undersample",
        "classes of unequal sizes: undersample keeps as many texts of each as the smallest has; weight gives every "
        "class the same weight in the loss; none leaves them as they are",
    )
    test_fraction: float = setting(0.2, "share of the texts that is never trained on nor looked at before the end")
    split_seed: int = setting(0, "seed of which texts are trained on, and of which are left out of a larger class")
    label_field: str = setting("label", "the field of records that holds the label")

    def __post_init__(self) -> None:
        require(
            self.labels is None or (len(self.labels) >= 2 and len(set(self.labels)) == len(self.labels)),
            "stage.labels are the names of two classes or more, each once: as ham,spam; or None for those of the data",
        )
        require(
            0 < self.test_fraction < 1, f"stage.test_fraction is {self.test_fraction}: give a number between 0 and 1"
        )
        require(self.label_field != "", "stage.label_field is empty: give the name of a field")
