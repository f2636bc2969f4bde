"""The template that a run's prompts have, for the commands that ask it something."""

from __future__ import annotations

from pathlib import Path

from jaxdec.config.instruct import Alpaca, ChatML, Instruct, Own, Phi3, Template
from jaxdec.config.model import EncoderDecoderConfig
from jaxdec.config.preference import Preference
from jaxdec.config.run import RunConfig
from jaxdec.errors import UserError, nearest

KINDS: dict[str, Template] = {template.kind: template for template in (Alpaca(), Phi3(), ChatML())}
TEMPLATE_HELP = "the form of prompts, for a run that has none: alpaca, phi3, chatml, or a file with a template"


def template_of(config: RunConfig, given: str | None, run: str) -> Template:
    """`given`, a kind or a file, or else that of the run. Raises UserError for a run that was not trained on
    instructions, or is no language model."""
    if isinstance(config.model, EncoderDecoderConfig) or getattr(config.model, "classes", None) is not None:
        raise UserError(f"{run} is no language model that could answer: its stage is {config.resolved_stage.kind}")
    if given is not None:
        if given in KINDS:
            return KINDS[given]
        if not Path(given).expanduser().is_file():
            raise UserError(f"--template {given} is neither a file nor a kind{nearest(given, KINDS)}")
        return Own(given)
    stage = config.resolved_stage
    if isinstance(stage, Instruct | Preference):
        return stage.template
    raise UserError(
        f"{run} was not trained on instructions (its stage is {stage.kind}): name the form of its prompts, as "
        f"--template alpaca, or train it: jaxdec train instruct --init-from {run}"
    )
