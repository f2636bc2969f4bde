"""Suite `choices`: any file of questions with choices. A question, the delimiter and a choice are encoded together, as
`lm-eval` does; `data/choices.py` says which fields a file has."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jaxdec.data.choices import read_choices
from jaxdec.evaluation.suites.continuations import Continuations
from jaxdec.evaluation.suites.multiple_choice import accuracies, first, listed_examples, requests, score_choices
from jaxdec.evaluation.suites.options import SuiteOptions
from jaxdec.runs.loading import LoadedRun


def evaluate(run: LoadedRun, options: SuiteOptions) -> Mapping[str, Any]:
    """acc, and acc_norm by tokens and by characters; `chance`: what guessing gives."""
    assert options.file is not None
    asked = first(read_choices(options.file), options.limit)
    groups = [
        requests(
            run.tokenizer,
            question.context,
            [f"{options.delimiter}{choice}" for choice in question.endings],
            f"question {number} of {options.file}",
        )
        for number, question in enumerate(asked, start=1)
    ]
    endings, labels = [question.endings for question in asked], [question.label for question in asked]
    scored, cut = score_choices(Continuations(run.model, run.params), groups, endings, labels)
    result: dict[str, Any] = {
        "questions": len(asked),
        "file": Path(options.file).name,
        **accuracies(scored, "tokens", "characters"),
        "chance": sum(1 / len(choices) for choices in endings) / len(asked),
        "contexts_cut": cut,
    }
    return {**result, "examples": listed_examples(scored)} if options.examples else result
