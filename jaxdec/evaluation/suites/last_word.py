"""Suite `last_word`: does a model end a passage with its last word (LAMBADA; Paperno et al., ACL 2016)?

What follows the last space of a passage, and the space, is the target, as in `lm-eval`'s task lambada_openai: it counts
as right if each of its tokens is the most probable one. Perplexity = exp(-mean log-probability of the target), its
standard error that of the mean times the perplexity.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from jaxdec.data.choices import read_passages
from jaxdec.evaluation.suites.continuations import Continuations
from jaxdec.evaluation.suites.multiple_choice import first, requests, share
from jaxdec.evaluation.suites.options import SuiteOptions
from jaxdec.runs.loading import LoadedRun


def evaluate(run: LoadedRun, options: SuiteOptions) -> Mapping[str, Any]:
    """`acc` of the last word and its `perplexity`, with standard errors."""
    assert options.file is not None
    passages = first(read_passages(options.file), options.limit)
    asked = []
    for number, passage in enumerate(passages, start=1):
        context, _, word = passage.rpartition(" ")
        asked += requests(run.tokenizer, context, [f" {word}"], f"passage {number} of {options.file}")
    scores = Continuations(run.model, run.params).score(asked)
    accuracy, error = share([score.greedy for score in scores])
    losses = -np.array([score.logprob for score in scores])
    perplexity = math.exp(min(700.0, losses.mean()))
    spread = losses.std(ddof=1) / math.sqrt(len(losses)) if len(losses) > 1 else None
    result: dict[str, Any] = {
        "passages": len(passages),
        "file": Path(options.file).name,
        "acc": accuracy,
        "acc_standard_error": error,
        "perplexity": perplexity,
        "perplexity_standard_error": None if spread is None else perplexity * float(spread),
        "contexts_cut": sum(score.cut for score in scores),
    }
    if options.examples:
        result["examples"] = [{"logprob": score.logprob, "greedy": score.greedy} for score in scores]
    return result
