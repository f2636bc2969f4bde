"""`jaxdec evaluate RUN`: the losses of a trained run, or weights, on the validation split; its scores on suites."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from jaxdec.cli.flags.flags import own_flags, pairs, parse
from jaxdec.cli.flags.options import json_option, option, run_argument, step_option
from jaxdec.config.files import write_json
from jaxdec.config.run import NO_CORPUS, DataConfig, RunConfig
from jaxdec.errors import UserError
from jaxdec.evaluation.suites.options import SuiteOptions
from jaxdec.evaluation.suites.registry import SUITES, require_suites
from jaxdec.runs.source import describe, with_data

ABOUT = """Score a run's model on its validation split: every token once (the sweep), and nanoGPT's random batches
beside it. Where the corpus's entropy is known, its floor and the excess over it are given too, in nats per token. Of an
encoder-decoder: the loss, token accuracy, and exact matches and BLEU of greedy translations.

With --suite, score it on something else. The suites are {suites}.

RUN may be weights of another program, which have no corpus: give one, as --data.corpus tinyshakespeare. A run's own
may be exchanged too."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class EvaluateOptions(SuiteOptions):
    data: DataConfig
    run: Path | None = run_argument()
    suite: tuple[str, ...] = option((), "score on this; give it several times for several suites", metavar="NAME")
    out: Path | None = option(None, "write the results of the suites into this file, as JSON", metavar="FILE.json")
    html: Path | None = option(
        None, "write a page with the results of the suites, samples and training curves", metavar="FILE.html"
    )
    step: int | None = step_option()
    json: bool = json_option()


def run(argv: Sequence[str]) -> dict[str, Any]:
    """Evaluates, prints the figures and returns them."""
    given = next((word for flag, word in pairs(argv, own_flags(EvaluateOptions)) if flag is None), None)
    try:
        config = describe(given) if given else None
    except UserError:
        _parse(DataConfig(corpus="playlets"), argv)  # a mistyped flag comes first
        raise
    arguments = _parse(config.data if config else DataConfig(corpus="playlets"), argv)
    if arguments.run is None or config is None:
        raise UserError("give the run directory: jaxdec evaluate RUN")
    changed = with_data(config, arguments.data) if arguments.data != config.data else config
    if arguments.suite:
        return _run_suites(arguments, changed)
    for name in ("out", "html", *(field.name for field in dataclasses.fields(SuiteOptions))):
        if getattr(arguments, name) != getattr(EvaluateOptions(data=arguments.data), name):
            raise UserError(f"--{name.replace('_', '-')} is for suites: give one, as --suite {next(iter(SUITES))}")
    if arguments.data.corpus == NO_CORPUS:
        raise UserError(f"{given} has no corpus of its own: give --data.corpus, a name (jaxdec list) or a path")
    from jaxdec.cli.startup import start_jax

    start_jax()
    from jaxdec.cli.summary import show_values
    from jaxdec.stages.run import evaluate

    return show_values(evaluate(arguments.run, arguments.step, changed.data if changed is not config else None))


def _parse(data: DataConfig, argv: Sequence[str]) -> EvaluateOptions:
    suites = "; ".join(f"{name} ({suite.about})" for name, suite in SUITES.items())
    return parse("evaluate", EvaluateOptions(data=data), argv, about=ABOUT.format(suites=suites))


def _run_suites(arguments: EvaluateOptions, config: RunConfig) -> dict[str, Any]:
    names = tuple(dict.fromkeys(name for given in arguments.suite for name in given.split(",")))
    require_suites(config, names, arguments)
    for flag, path in (("--out", arguments.out), ("--html", arguments.html)):
        if path is not None and not path.parent.is_dir():
            raise UserError(f"{flag} {path}: there is no folder {path.parent}: make it first")
        if path is not None and path.is_dir():
            raise UserError(f"{flag} {path} is a folder: give the name of a file")
    from jaxdec.cli.startup import start_jax

    start_jax()
    from jaxdec.cli.summary import show_values
    from jaxdec.evaluation.page.page import write_page
    from jaxdec.evaluation.suites.registry import suite_module
    from jaxdec.runs.loading import load_run

    assert arguments.run is not None
    loaded = load_run(arguments.run, arguments.step)
    if arguments.data != loaded.config.data:
        loaded = dataclasses.replace(loaded, config=with_data(loaded.config, arguments.data))
    result: dict[str, Any] = {"run": str(arguments.run), "step": loaded.step, "suites": {}}
    for name in names:
        module = suite_module(name)
        result["suites"][name] = values = dict(module.evaluate(loaded, arguments))
        print(f"\n{name}: {SUITES[name].about}")
        show_values(getattr(module, "printed", _printed)(values))
        if arguments.out is not None:  # after each: what is done counts, whatever comes
            write_json(arguments.out, result)
        if arguments.html is not None:
            write_page(result, loaded.config, arguments.run, arguments.html)
    for path in (arguments.out, arguments.html):
        if path is not None:
            print(f"\nwritten to {path}")
    return result


def _printed(values: Mapping[str, Any]) -> dict[str, Any]:
    """Without the lists, which are for files."""
    return {
        name: _printed(value) if isinstance(value, Mapping) else value
        for name, value in values.items()
        if not isinstance(value, list | tuple)
    }
