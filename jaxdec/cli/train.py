"""`jaxdec train RECIPE`: trains, then shows the result."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from jaxdec.cli.console import lasting_console
from jaxdec.cli.flags.flags import own_flags, pairs, parse
from jaxdec.cli.flags.options import argument, from_file_option, json_option, option, whole_config
from jaxdec.config.run import RunConfig, warmup_within
from jaxdec.config.yaml import load_config, read_leaf
from jaxdec.errors import UserError
from jaxdec.recipes import load_recipe, recipe_names
from jaxdec.runs.directory import require_new
from jaxdec.runs.metrics import require_sinks
from jaxdec.runs.source import changed_settings, describe

ABOUT = """Train a model. Every setting of the recipe is a flag; the defaults shown are those of RECIPE (char-gpt when
none is given). Example:
jaxdec train char-gpt --data.corpus tinyshakespeare --train.steps 2000 --out runs/shakespeare

Where a part has kinds, `--model.position.kind rope`, or `--model.position rope` for short, picks another with its own
defaults and flags: `jaxdec train RECIPE --model.position rope --help` shows them. Layers may differ:
`--model.mlp.1.kind moe --model.mlp.1.experts 8` makes every second feed-forward layer a mixture of experts, and
`--model.attention local,full` lets the two take turns."""


@dataclasses.dataclass(frozen=True)
class TrainOptions:
    run: RunConfig = whole_config()
    recipe: str | None = argument("RECIPE", "a recipe's name (jaxdec list shows them)")
    config: Path | None = option(
        None, "start from the settings in this config.yaml of a run, instead of a recipe", metavar="FILE"
    )
    out: Path | None = option(None, "the run directory, which must not exist", metavar="DIR", unset="runs/RECIPE")
    from_file: Path | None = from_file_option()
    json: bool = json_option()


def run(argv: Sequence[str]) -> dict[str, Any]:
    """Parses, trains, prints the summary and returns it."""
    arguments, run_dir = read(argv)
    from jaxdec.cli.startup import start_jax

    start_jax()
    from jaxdec.cli.summary import show_summary
    from jaxdec.stages.run import train

    with lasting_console(run_dir):
        return show_summary(train(arguments.run, run_dir, from_file=arguments.from_file), run_dir)


def read(argv: Sequence[str]) -> tuple[TrainOptions, Path]:
    """The arguments, checked, and the run directory to write. Writes nothing."""
    typed = list(pairs(argv, own_flags(TrainOptions)))
    helping = any(flag in ("-h", "--help") for flag, _ in typed)
    recipe = next((word for flag, word in typed if flag is None), None)
    config = next((value for flag, value in typed if flag == "--config" and value is not None), None)
    if recipe == "":
        raise UserError(f"the recipe's name is empty: give one of {', '.join(recipe_names())}")
    if recipe is not None and config is not None:
        raise UserError(f"give either the recipe '{recipe}' or --config {config}, not both")
    if recipe is None and config is None and not helping:
        raise UserError(f"give a recipe ({', '.join(recipe_names())}) or --config FILE; see jaxdec train --help")
    base = load_recipe(recipe or "char-gpt") if config is None else load_config(read_leaf(Path, config, "--config"))
    given = next((value for flag, value in typed if flag == "--init-from" and value not in (None, "", "None")), None)
    source = describe(given) if given and config is None else None
    if source is not None:
        base = started_from(base, source, [flag or "" for flag, _ in typed])
    arguments = parse("train", TrainOptions(run=base), argv, about=ABOUT)
    if source is not None:
        require_same_model(arguments.run, source, str(given))
    if arguments.out is None and config is not None:
        raise UserError("give --out DIR: a run from --config has no recipe to be named after")
    run_dir = arguments.out or Path("runs") / str(recipe)
    require_new(run_dir)
    require_sinks(arguments.run.log)
    if recipe is not None and not any(flag == "--optim.warmup-steps" for flag, _ in typed):
        arguments = dataclasses.replace(arguments, run=with_shorter_warmup(arguments.run, base))
    arguments.run.check()
    return arguments, run_dir


def started_from(recipe: RunConfig, source: RunConfig, flags: Sequence[str]) -> RunConfig:
    """The recipe for the model and the tokenizer of `source`, with the recipe's dropout, and with its window where the
    model has room for more."""
    model = source.model
    if hasattr(model, "dropout") and hasattr(recipe.model, "dropout"):
        model = dataclasses.replace(model, dropout=recipe.model.dropout)  # type: ignore[union-attr, call-arg]
    window = recipe.window if recipe.window < model.context else None
    if window is not None and not {"--data.window", "--train.tokens-per-step"} & set(flags):
        print(f"windows of {window} tokens, the recipe's; the model reads up to {model.context:,} (data.window)")
    stride = recipe.data.sweep_stride
    stride = stride if stride is None or stride <= (window or model.context) else None
    data = dataclasses.replace(recipe.data, tokenizer=source.data.tokenizer, window=window, sweep_stride=stride)
    return dataclasses.replace(recipe, model=model, data=data)


def require_same_model(run: RunConfig, source: RunConfig, given: str) -> None:
    """Raises UserError where flags ask for another model, or tokenizer, than the weights are of."""
    if changed := changed_settings(source, run):
        raise UserError(
            f"--init-from {given}: its model is another than the flags ask for ({'; '.join(changed)}): leave these "
            "flags out"
        )


def with_shorter_warmup(run: RunConfig, recipe: RunConfig) -> RunConfig:
    """`run`, whose warm-up is the recipe's. Where that would fill more than half of a shorter schedule, it gets the
    share that it has in the recipe, and a line says so."""
    warmup, shorter = run.optim.warmup_steps, warmup_within(run, recipe)
    if shorter == warmup:
        return run
    print(
        f"warm-up of {shorter} steps, the recipe's share of {run.decay_steps}; its {warmup} are for "
        f"{recipe.decay_steps:,} (optim.warmup_steps)"
    )
    return dataclasses.replace(run, optim=dataclasses.replace(run.optim, warmup_steps=shorter))
