"""Suites by name. Only those in use are imported.

A module of this folder has `evaluate(run, options)`: what it returns is printed, written by --out and answered by
--json. Numbers and texts stand in lines, a mapping as a table of its own; a list is for files and is not printed. The
standard error of `x` has the name `x_standard_error`. A module may have `printed(values)`, which gives what the
terminal shows in place of that.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, Protocol, cast

from jaxdec.config.run import NO_CORPUS, RunConfig
from jaxdec.errors import UserError, listed, nearest
from jaxdec.evaluation.suites.options import SuiteOptions

if TYPE_CHECKING:
    from jaxdec.runs.loading import LoadedRun

Results = Mapping[str, Any]


@dataclass(frozen=True)
class Suite:
    """`module`: where it lies. `options`: the fields of `SuiteOptions` that it reads; `required`: those that it cannot
    do without. `corpus`: whether it reads the corpus of the run, or the one of `--data.corpus`."""

    about: str
    module: str
    options: tuple[str, ...] = ()
    required: tuple[str, ...] = ()
    corpus: bool = False


SUITES: dict[str, Suite] = {
    "loss": Suite(
        "loss, perplexity, bits per byte and per character of a corpus, every token once",
        "jaxdec.evaluation.suites.loss",
        ("split",),
        corpus=True,
    ),
    "positions": Suite(
        "the loss by the position of a token in the context, as a table, and as a picture with --plot",
        "jaxdec.evaluation.suites.positions",
        ("split", "limit", "plot"),
        corpus=True,
    ),
    "hellaswag": Suite(
        "which of four endings goes on with a text: accuracies by llm.c's protocol and by Eleuther's",
        "jaxdec.evaluation.suites.hellaswag",
        ("limit", "file", "examples"),
    ),
    "choices": Suite(
        "the accuracy on the questions of --file, each with its choices and the index of the right one",
        "jaxdec.evaluation.suites.choices",
        ("limit", "file", "delimiter", "examples"),
        ("file",),
    ),
    "last_word": Suite(
        "accuracy and perplexity of the last words of the passages of --file, as LAMBADA is scored",
        "jaxdec.evaluation.suites.last_word",
        ("limit", "file", "examples"),
        ("file",),
    ),
    "quality": Suite(
        "repetition, words and structure of the model's samples, beside held-out text; training health",
        "jaxdec.evaluation.quality.suite",
        ("samples", "sample_tokens", "temperature", "seed"),
    ),
    "long_range": Suite(
        "the loss by tokens of context, and the copying of a random passage",
        "jaxdec.evaluation.quality.long_range",
        ("limit", "seed"),
    ),
}


class SuiteModule(Protocol):
    """What a module of this folder provides."""

    def evaluate(self, run: LoadedRun, options: SuiteOptions) -> Results:
        """The scores of a run. Raises UserError for examples that cannot be used."""
        ...


def suite_module(name: str) -> SuiteModule:
    """The module of a suite, which exists."""
    return cast(SuiteModule, importlib.import_module(SUITES[name].module))


def run_suites(run: LoadedRun, names: Sequence[str], options: SuiteOptions) -> dict[str, Results]:
    """The results of each suite, in the order of the names. Raises UserError as `require_suites` and the suites do."""
    require_suites(run.config, names, options)
    return {name: suite_module(name).evaluate(run, options) for name in names}


def require_suites(config: RunConfig, names: Sequence[str], options: SuiteOptions) -> None:
    """Raises UserError for an unknown suite, for a model that it cannot score, for a corpus or an option that it needs,
    and for an option that no suite reads."""
    for name in names:
        if name not in SUITES:
            raise UserError(f"there is no suite {name!r}{nearest(name, SUITES)}")
    require_language_model(config, listed(names))
    for name in names:
        for field in SUITES[name].required:
            if getattr(options, field) is None:
                raise UserError(f"the suite {name} needs --{field.replace('_', '-')}: {_help(field)}")
        if SUITES[name].corpus and config.data.corpus == NO_CORPUS:
            raise UserError(f"the suite {name} reads a corpus, and these weights have none: give --data.corpus")
    read = {field for name in names for field in SUITES[name].options}
    for field in fields(options):
        if field.name in _NAMES - read and getattr(options, field.name) != field.default:
            readers = [name for name, suite in SUITES.items() if field.name in suite.options]
            flag = f"--{field.name.replace('_', '-')}"
            raise UserError(f"{flag} means nothing to {listed(names)}: it is for {listed(readers)}")


def require_language_model(config: RunConfig, what: str) -> None:
    """Raises UserError for a model that gives no probability of the next token."""
    if config.model.kind == "encoder_decoder":
        raise UserError(f"{what}: an encoder-decoder is scored on pairs alone: leave --suite out")
    if getattr(config.model, "classes", None) is not None:
        raise UserError(f"{what}: a classifier predicts no tokens: leave --suite out")


_NAMES = {field.name for field in fields(SuiteOptions)}


def _help(name: str) -> str:
    return next(field.metadata["help"] for field in fields(SuiteOptions) if field.name == name)
