"""Arguments that several commands share, with their help."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import tyro

from jaxdec.cli.flags.flags import Positional

Json = Annotated[bool, tyro.conf.arg(help="end with one JSON line on stdout", help_behavior_hint="")]
Run = Annotated[
    Path | None,
    Positional,
    tyro.conf.arg(metavar="RUN", help="the run directory: the --out of a jaxdec train", help_behavior_hint=""),
]
Step = Annotated[
    int | None,
    tyro.conf.arg(metavar="INT", help="use the checkpoint of this step", help_behavior_hint="(default: the newest)"),
]
FromFile = Annotated[
    Path | None,
    tyro.conf.arg(metavar="FILE", help="a copy of the corpus that you already have", help_behavior_hint=""),
]
