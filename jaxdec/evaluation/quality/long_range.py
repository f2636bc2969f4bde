"""Suite `long_range`: what a model makes of a long context. The gain of each doubling, and the copying of a passage."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from jaxdec.evaluation.quality.context import gains, losses_by_context, with_error
from jaxdec.evaluation.quality.copying import copy_losses, random_passages
from jaxdec.evaluation.quality.estimate import mean
from jaxdec.evaluation.quality.suite import corpus_of
from jaxdec.evaluation.suites.options import SuiteOptions
from jaxdec.runs.loading import LoadedRun

MOST_READ, MOST_TARGETS = 2**16, 1024  # tokens that are read with the longest context, and targets
PASSAGES, LONGEST = 64, 128  # random passages, and tokens of each
AT_ONCE = 4096  # tokens of one call
COPYING = {
    "first_copy": "loss in the first copy",
    "second_copy": "loss in the second copy",
    "copy_score": "copy score",
}
SHORTEST = 4  # tokens of two copies of a passage of which one token can be predicted


def evaluate(run: LoadedRun, options: SuiteOptions) -> Mapping[str, Any]:
    """`context`: by tokens of context the loss, and the `gain` over the context before. `copying`: the loss in the
    first and in the second copy of a random passage, and `copy_score`, the difference of the two over the first."""
    context = min(run.config.window, run.model.config.context)
    found: dict[str, Any] = {}
    dataset, why = corpus_of(run)
    if dataset is not None and len(dataset.validation) <= context:
        dataset, why = None, f"the validation split has {len(dataset.validation)} tokens, not more than the context"
    if dataset is None:
        found["left_out"] = f"the loss by context: {why}"
    else:
        targets = options.limit or min(MOST_TARGETS, max(1, MOST_READ // context))
        losses = losses_by_context(run.model, run.params, dataset.validation, context, targets, AT_ONCE)
        found["corpus"], found["targets"] = dataset.corpus, len(losses[context])
        found["context"] = gains(losses)
    if context < SHORTEST:
        found["left_out_copying"] = f"a passage and its copy do not fit into a context of {context}"
        return found
    length = min(context // 2, LONGEST)
    end = run.tokenizer.end_of_text
    vocabulary = np.setdiff1d(np.arange(run.tokenizer.vocab_size), [] if end is None else [end])
    passages = random_passages(vocabulary, PASSAGES, length, options.seed)
    first, second = copy_losses(run.model, run.params, passages, AT_ONCE)
    score = (first - second) / first
    found["copying"] = {
        "passages": len(first),
        "tokens_each": length,
        **with_error("first_copy", mean(first.tolist())),
        **with_error("second_copy", mean(second.tolist())),
        **with_error("copy_score", mean(score.tolist())),
    }
    return found


def printed(values: Mapping[str, Any]) -> dict[str, Any]:
    """What the terminal shows: a line for each context, and for each figure of the copying."""
    shown = dict(values)
    if "copying" in shown:
        copying = shown.pop("copying")
        about = f"copying of {copying['passages']} random passages of {copying['tokens_each']} tokens"
        shown[about] = {
            label: f"{copying[name]:.4f} ± {copying[f'{name}_standard_error'] or 0:.4f}"
            for name, label in COPYING.items()
        }
    if "context" in shown:
        shown["loss by tokens of context (nats per token)"] = {
            f"{length:>6}": _line(row) for length, row in shown.pop("context").items()
        }
    return shown


def _line(row: Mapping[str, Any]) -> str:
    line = f"{row['loss']:.4f} ± {row['loss_standard_error'] or 0:.4f}"
    return line + (f"   gain {row['gain']:.4f} ± {row['gain_standard_error'] or 0:.4f}" if "gain" in row else "")
