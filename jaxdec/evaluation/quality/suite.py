"""Suite `quality`: what a model's samples are like, beside equally long pieces of held-out text.

A figure of generated text alone says little: how many words repeat depends on the language, the tokenizer and the
length. So each measure is taken of held-out text too, and both come with a standard error over samples.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from jaxdec.config.run import NO_CORPUS
from jaxdec.data.shards import Dataset, prepare
from jaxdec.errors import UserError
from jaxdec.evaluation.quality.health import LABELS, training_health
from jaxdec.evaluation.quality.measures import HEADINGS, MEASURES, Setting
from jaxdec.evaluation.quality.samples import Piece, draw_samples, held_out_pieces, reference_of
from jaxdec.evaluation.suites.options import SuiteOptions
from jaxdec.generation.sampling import Sampling
from jaxdec.runs.loading import LoadedRun

Results = dict[str, Any]


def evaluate(run: LoadedRun, options: SuiteOptions) -> Results:
    """By heading and measure: `samples` and `held_out`, each with its `_standard_error`; those that there is nothing to
    measure of are missing. `texts` and `held_out_texts` are lists."""
    sampling = Sampling(temperature=options.temperature)
    dataset, why = corpus_of(run)
    samples = draw_samples(run, options.samples, options.sample_tokens, sampling, options.seed)
    setting = Setting(run.tokenizer, None if dataset is None else reference_of(dataset))
    held_out = [] if dataset is None else held_out_pieces(dataset, len(samples), options.sample_tokens)
    found: Results = {
        "drawn": {
            "samples": len(samples),
            "tokens_each": options.sample_tokens,
            "temperature": options.temperature,
            "seed": options.seed,
            "held_out_pieces": len(held_out),
            "corpus": None if dataset is None else dataset.corpus,
        }
    }
    if dataset is None:
        found["left_out"] = f"what needs the corpus: {why}"
    elif not held_out:
        found["left_out"] = f"held-out text: the validation split has fewer than {options.sample_tokens} tokens"
    health = training_health(run.place, run.step)
    return {
        **found,
        **({"training": health} if health else {}),
        **measured(samples, held_out, setting),
        "texts": [each.text for each in samples],
        "held_out_texts": [each.text for each in held_out],
    }


def corpus_of(run: LoadedRun) -> tuple[Dataset | None, str]:
    """The run's corpus; None where it cannot be read, and why."""
    if run.config.data.corpus == NO_CORPUS:
        return None, "these weights have none, give --data.corpus"
    try:
        return prepare(run.config.data, tokenizer=run.tokenizer), ""
    except UserError as error:
        return None, str(error)


def measured(samples: Sequence[Piece], held_out: Sequence[Piece], setting: Setting) -> Results:
    """{heading: {measure: {samples, samples_standard_error, held_out, held_out_standard_error}}}"""
    found: Results = {heading: {} for heading in HEADINGS}
    for name, measure in MEASURES.items():
        row = {}
        for side, pieces in (("samples", samples), ("held_out", held_out)):
            if (estimate := measure.take(pieces, setting)) is not None:
                row[side] = estimate.value
                row[f"{side}_standard_error"] = estimate.error
        if row:
            found[measure.heading][name] = row
    return {heading: rows for heading, rows in found.items() if rows}


def printed(values: Mapping[str, Any]) -> dict[str, Any]:
    """What the terminal shows: a line for each measure, with both figures."""
    shown = {name: value for name, value in values.items() if name not in HEADINGS}
    if "training" in shown:
        shown["training"] = {LABELS[name]: value for name, value in shown["training"].items()}
    for heading, title in HEADINGS.items():
        if heading in values:
            shown[title] = {MEASURES[name].label: _line(name, row) for name, row in values[heading].items()}
    return {name: value for name, value in shown.items() if not isinstance(value, list)}


def _line(name: str, row: Mapping[str, Any]) -> str:
    parts = [
        f"{side.replace('_', '-')} {MEASURES[name].shown(row[side], row[f'{side}_standard_error'])}"
        for side in ("samples", "held_out")
        if side in row
    ]
    return "   ".join(parts)
