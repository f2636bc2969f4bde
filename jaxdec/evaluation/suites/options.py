"""Settings of suites. Each is a flag of `jaxdec evaluate`; which suite reads which stands in the registry."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from jaxdec.config.parts import require
from jaxdec.config.setting import setting


@dataclass(frozen=True)
class SuiteOptions:
    """What was asked of the suites that run together."""

    split: Literal["validation", "train", "all"] = setting("validation", "which part of a corpus is read")
    limit: int | None = setting(None, "read the first N examples alone; None: all")
    file: Path | None = setting(None, "the examples, for a suite that reads a file of yours")
    delimiter: str = setting(" ", "what stands between a question and a choice")
    examples: bool = setting(False, "add the scores of every example to --out and --json")
    plot: Path | None = setting(None, "draw the result into this PNG")
    samples: int = setting(16, "texts that are drawn from the model")
    sample_tokens: int = setting(256, "tokens of each text that is drawn")
    temperature: float = setting(1.0, "of the texts that are drawn; 1 is the model as it is, 0 is greedy")
    seed: int = setting(1337, "of what is drawn at random")

    def __post_init__(self) -> None:
        require(self.limit is None or self.limit >= 1, f"--limit is {self.limit}: give a whole number from 1")
        if self.plot is not None:
            require(self.plot.suffix.lower() == ".png", f"--plot {self.plot}: give a name that ends in .png")
            require(self.plot.parent.is_dir(), f"--plot {self.plot}: there is no folder {self.plot.parent}")
        require(self.samples >= 1, f"--samples is {self.samples}: give a whole number from 1")
        require(self.sample_tokens >= 1, f"--sample-tokens is {self.sample_tokens}: give a whole number from 1")
        require(0 <= self.seed < 2**31, f"--seed is {self.seed}: give a whole number from 0 to 2147483647")
        require(
            self.temperature >= 0 and math.isfinite(self.temperature),
            f"--temperature is {self.temperature}: give 0 (greedy) or a positive number",
        )
