"""`jaxdec generate RUN --prompt ...`: text from a run's model, on the terminal as it is made."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from jaxdec.cli.flags.flags import parse
from jaxdec.cli.flags.options import json_option, option, run_argument, step_option
from jaxdec.config.instruct import Instruct
from jaxdec.config.model import EncoderDecoderConfig
from jaxdec.errors import UserError
from jaxdec.runs.source import describe, require_tokens

ABOUT = """Continue prompts with a run's model. Filters are applied in the order temperature, top-k, top-p, min-p; the
same seed gives the same text."""


@dataclasses.dataclass(frozen=True)
class GenerateOptions:
    run: Path | None = run_argument()
    prompt: tuple[str, ...] = option(
        (), "what to continue; give it several times for several texts", metavar="TEXT", unset="a new line"
    )
    max_tokens: int = option(200, "how many tokens to add")
    temperature: float = option(0.8, "below 1 bolder choices are rarer; 0 is greedy")
    greedy: bool = option(False, "always take the most probable token")
    top_k: int | None = option(None, "keep the k most probable tokens", metavar="INT", unset="off")
    top_p: float | None = option(
        None, "keep the fewest tokens that hold this probability", metavar="FLOAT", unset="off"
    )
    min_p: float | None = option(
        None, "keep tokens at least this probable, relative to the best", metavar="FLOAT", unset="off"
    )
    stop: str | None = option(None, "end a text before this", metavar="TEXT", unset="never")
    stop_at_end: bool = option(
        False, "end a text where the model draws <|endoftext|>; runs of the stage instruct always do"
    )
    seed: int = option(1337, "of the random choices")
    step: int | None = step_option()
    json: bool = json_option()


def run(argv: Sequence[str]) -> dict[str, Any]:
    """Generates, streams the texts and returns them."""
    arguments = parse("generate", GenerateOptions(), argv, about=ABOUT)
    if arguments.run is None:
        raise UserError("give the run directory: jaxdec generate RUN --prompt TEXT")
    config = describe(arguments.run)
    if isinstance(config.model, EncoderDecoderConfig):
        raise UserError(f"{arguments.run} is an encoder-decoder: jaxdec translate {arguments.run} --text TEXT")
    require_tokens(config.model, arguments.run)
    from jaxdec.cli.startup import start_jax

    start_jax()
    from jaxdec.cli.typewriter import Typewriter
    from jaxdec.generation.generate import generate_text
    from jaxdec.generation.sampling import Sampling
    from jaxdec.runs.loading import load_run

    sampling = Sampling(
        temperature=0.0 if arguments.greedy else arguments.temperature,
        top_k=arguments.top_k,
        top_p=arguments.top_p,
        min_p=arguments.min_p,
    )
    loaded = load_run(arguments.run, arguments.step)
    prompts = arguments.prompt or ("",)
    typewriter = Typewriter(prompts)
    texts = generate_text(
        loaded,
        prompts,
        max_tokens=arguments.max_tokens,
        sampling=sampling,
        seed=arguments.seed,
        stop=arguments.stop,
        stop_at_end=arguments.stop_at_end or isinstance(config.resolved_stage, Instruct),
        on_text=typewriter.add,
    )
    typewriter.close()
    return {
        "step": loaded.step,
        "seed": arguments.seed,
        "texts": [{"prompt": prompt, "continuation": text} for prompt, text in zip(prompts, texts, strict=True)],
    }
