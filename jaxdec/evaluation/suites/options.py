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
    file: Path | None = setting(None, "the examples of a suite that reads a file of yours")

    def __post_init__(self) -> None:
        require(self.limit is None or self.limit >= 1, f"--limit is {self.limit}: give a whole number from 1")
