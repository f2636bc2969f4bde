"""`jaxdec generate RUN --prompt ...`: text from a run's model, on the terminal as it is made."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Annotated, Any

import tyro

from jaxdec.cli.flags.flags import parse
from jaxdec.cli.flags.options import Json, Run, Step
from jaxdec.config.model import EncoderDecoderConfig
from jaxdec.errors import UserError
from jaxdec.runs.directory import require_run

ABOUT = """Continue prompts with a run's model. Filters are applied in the order temperature, top-k, top-p, min-p; the
same seed gives the same text."""

Filter = tyro.conf.arg(help_behavior_hint="(default: off)")


@dataclasses.dataclass(frozen=True)
class Arguments:
    run: Run = None
    prompt: Annotated[
        tuple[str, ...],
        tyro.conf.UseAppendAction,
        tyro.conf.arg(
            metavar="TEXT",
            help="what to continue; give it several times for several texts",
            help_behavior_hint="(default: a new line)",
        ),
    ] = ()
    max_tokens: Annotated[int, tyro.conf.arg(help="how many tokens to add")] = 200
    temperature: Annotated[float, tyro.conf.arg(help="below 1 bolder choices are rarer; 0 is greedy")] = 0.8
    greedy: Annotated[bool, tyro.conf.arg(help="always take the most probable token", help_behavior_hint="")] = False
    top_k: Annotated[int | None, tyro.conf.arg(metavar="INT", help="keep the k most probable tokens"), Filter] = None
    top_p: Annotated[
        float | None, tyro.conf.arg(metavar="FLOAT", help="keep the fewest tokens that hold this probability"), Filter
    ] = None
    min_p: Annotated[
        float | None,
        tyro.conf.arg(metavar="FLOAT", help="keep tokens at least this probable, relative to the best"),
        Filter,
    ] = None
    stop: Annotated[
        str | None, tyro.conf.arg(metavar="TEXT", help="end a text before this", help_behavior_hint="(default: never)")
    ] = None
    seed: Annotated[int, tyro.conf.arg(help="of the random choices")] = 1337
    step: Step = None
    json: Json = False


def run(argv: Sequence[str]) -> dict[str, Any]:
    """Generates, streams the texts and returns them."""
    arguments = parse("generate", Arguments(), argv, about=ABOUT)
    if arguments.run is None:
        raise UserError("give the run directory: jaxdec generate RUN --prompt TEXT")
    config = require_run(arguments.run)
    if isinstance(config.model, EncoderDecoderConfig):
        raise UserError(f"{arguments.run} is an encoder-decoder: jaxdec translate {arguments.run} --text TEXT")
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
        on_text=typewriter.add,
    )
    typewriter.close()
    return {
        "step": loaded.step,
        "seed": arguments.seed,
        "texts": [{"prompt": prompt, "continuation": text} for prompt, text in zip(prompts, texts, strict=True)],
    }
