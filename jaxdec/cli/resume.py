"""`jaxdec resume RUN`: goes on from the newest good checkpoint, on the devices there are now."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

from jaxdec.cli.flags.flags import Section, own_flags, pairs, parse
from jaxdec.cli.flags.options import Json, Run
from jaxdec.config.run import MeshConfig, RunConfig
from jaxdec.config.yaml import field_types
from jaxdec.errors import UserError
from jaxdec.runs.directory import require_run
from jaxdec.runs.metrics import require_sinks

ABOUT = """Go on with an interrupted run: its settings and data order are kept, so that the result equals an
uninterrupted run's. Only the layout of the devices may change."""


@dataclasses.dataclass(frozen=True)
class Arguments:
    mesh: Annotated[MeshConfig, *Section]
    run: Run = None
    json: Json = False


def run(argv: Sequence[str]) -> dict[str, Any]:
    """Parses, trains on, prints the summary and returns it."""
    typed = list(pairs(argv, own_flags(Arguments)))
    for flag, _ in typed:
        section = (flag or "").removeprefix("--").partition(".")[0]
        if section in field_types(RunConfig) and section not in field_types(Arguments):
            raise UserError(
                f"a resumed run keeps its settings, {flag} included: start another with "
                f"jaxdec train --config RUN/config.yaml {flag} ..."
            )
    folder = next((word for flag, word in typed if flag is None), None)
    config = require_run(Path(folder)) if folder is not None else None
    arguments = parse("resume", Arguments(mesh=config.mesh if config else MeshConfig()), argv, about=ABOUT)
    if config is None or arguments.run is None:
        raise UserError("give the run directory: jaxdec resume RUN")
    require_sinks(config.log)
    from jaxdec.cli.startup import start_jax

    start_jax()
    from jaxdec.cli.summary import show_summary
    from jaxdec.stages.registry import stage_of

    config = dataclasses.replace(config, mesh=arguments.mesh)
    return show_summary(stage_of(config).resume(arguments.run, config), arguments.run)
