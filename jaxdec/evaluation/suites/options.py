"""Settings of suites. Each is a flag of `jaxdec evaluate`; which suite reads which stands in the registry."""

from __future__ import annotations

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

    def __post_init__(self) -> None:
        require(self.limit is None or self.limit >= 1, f"--limit is {self.limit}: give a whole number from 1")
        if self.plot is not None:
            require(self.plot.suffix.lower() == ".png", f"--plot {self.plot}: give a name that ends in .png")
            require(self.plot.parent.is_dir(), f"--plot {self.plot}: there is no folder {self.plot.parent}")
