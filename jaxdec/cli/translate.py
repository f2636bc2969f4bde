"""`jaxdec translate RUN --text ...`: the targets that an encoder-decoder writes for sources."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from jaxdec.cli.flags.flags import parse
from jaxdec.cli.flags.options import json_option, option, run_argument, step_option
from jaxdec.config.model import EncoderDecoderConfig
from jaxdec.errors import UserError
from jaxdec.runs.directory import require_run

ABOUT = (
    """Translate texts with a run's encoder-decoder, by beam search. The defaults are those of Vaswani et al. 2017."""
)


@dataclasses.dataclass(frozen=True)
class TranslateOptions:
    run: Path | None = run_argument()
    text: tuple[str, ...] = option((), "what to translate; give it several times for several texts", metavar="TEXT")
    beam: int = option(4, "hypotheses that are kept; 1 is greedy")
    length_penalty: float = option(0.6, "exponent of the length normalisation; 0 compares plain probabilities")
    step: int | None = step_option()
    json: bool = json_option()


def run(argv: Sequence[str]) -> dict[str, Any]:
    """Translates, prints the targets and returns them."""
    arguments = parse("translate", TranslateOptions(), argv, about=ABOUT)
    if arguments.run is None:
        raise UserError("give the run directory: jaxdec translate RUN --text TEXT")
    config = require_run(arguments.run)
    if not isinstance(config.model, EncoderDecoderConfig):
        raise UserError(f"{arguments.run} is no encoder-decoder: jaxdec generate {arguments.run} --prompt TEXT")
    if not arguments.text:
        raise UserError(f"give what to translate: jaxdec translate {arguments.run} --text TEXT")
    from jaxdec.cli.startup import start_jax

    start_jax()
    from jaxdec.cli.summary import show_translations
    from jaxdec.generation.beam import Beam
    from jaxdec.generation.translation import translate_text
    from jaxdec.runs.loading import load_run

    beam = Beam(arguments.beam, arguments.length_penalty)
    loaded = load_run(arguments.run, arguments.step)
    found = translate_text(loaded, arguments.text, beam)
    show_translations(arguments.text, [translation for translation, _ in found])
    return {
        "step": loaded.step,
        "beam": beam.width,
        "length_penalty": beam.length_penalty,
        "texts": [
            {"text": text, "translation": translation, "log_probability": log_p}
            for text, (translation, log_p) in zip(arguments.text, found, strict=True)
        ],
    }
