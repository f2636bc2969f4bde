"""Learning from preferences: chosen answers become more probable than rejected ones, measured against the start."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from jaxdec.config.preference import Preference
from jaxdec.config.run import RunConfig
from jaxdec.data.preferences import PreferenceBatches, PreferenceDataset, prepare_preferences
from jaxdec.data.tokenizers.registry import Tokenizer
from jaxdec.errors import UserError
from jaxdec.evaluation.preference_plot import plot_preferences
from jaxdec.evaluation.preferences import (
    LogProbabilities,
    Scores,
    all_pairs,
    first_batches,
    make_log_probabilities,
    of_all,
)
from jaxdec.models.functional import Model, Params
from jaxdec.runs.reference import ReferenceValues
from jaxdec.training.preference import preference_objective
from jaxdec.training.stage import Reference, Stage


def load_data(config: RunConfig, *, from_file: Path | None, tokenizer: Tokenizer | None) -> PreferenceDataset:
    """The pairs of answers. Says how many there are. Raises UserError for a run that starts from nothing."""
    if config.init_from is None:
        raise UserError(
            "stage preference is measured against the model that it starts from, and a fresh one prefers nothing: give "
            "--init-from RUN, best the run of 'jaxdec train instruct'"
        )
    data = prepare_preferences(config, from_file=from_file, tokenizer=tokenizer)
    counts = ", ".join(f"{len(pairs):,} {name}" for name, pairs in data.splits.items())
    print(f"pairs   {counts}; rows of {data.splits['training'].length} tokens")
    for reason, count in data.left_out.items():
        if count:
            print(f"        {reason}: {count:,}")
    return data


def make_stage(config: RunConfig, model: Model, data: PreferenceDataset) -> Stage:
    """Pairs of the training split. The reference is the frozen base where adapters are trained, which needs no second
    copy; otherwise its log-probabilities are measured once, of the first parameters."""
    policy = make_log_probabilities(model)
    if model.lora is not None:
        return stage_of(config, model, data, policy, model.base)

    def measure(params: Params) -> dict[str, np.ndarray]:
        return {
            name: of_all(policy, params, pairs.sweep(config.batch_size), len(pairs))
            for name, pairs in data.splits.items()
            if len(pairs)
        }

    def complete(values: ReferenceValues) -> Stage:
        splits = {name: replace(pairs, reference=values.get(name)) for name, pairs in data.splits.items()}
        return replace(stage_of(config, model, replace(data, splits=splits), policy), measured=values)

    return replace(stage_of(config, model, data, policy), reference=Reference(measure, complete))


def stage_of(
    config: RunConfig, model: Model, data: PreferenceDataset, policy: LogProbabilities, base: Model | None = None
) -> Stage:
    """The stage on data that have the reference's log-probabilities, or with a `base` that gives them."""
    settings = config.resolved_stage
    assert isinstance(settings, Preference)
    reference = None if base is None else make_log_probabilities(base)
    scores = Scores(settings.loss, policy, reference)
    return Stage(
        model=model,
        batch=PreferenceBatches(data.splits["training"], config.batch_size),
        objective=preference_objective(settings.loss, None if base is None else base.read),
        evaluators=(first_batches(scores, config, data),),
        final_evaluators=(all_pairs(scores, config, data),),
        tokenizer=data.tokenizer,
        data=data.hash,
        files=lambda _, run_dir: plot_preferences(run_dir / "metrics.jsonl", run_dir / "preference.png"),
    )
