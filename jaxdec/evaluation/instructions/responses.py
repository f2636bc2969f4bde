"""What a model answers to the entries of a split, beside the references and with scores."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from jaxdec.config.files import write_json
from jaxdec.config.instruct import Instruct, Template
from jaxdec.data.instructions.examples import (
    Entry,
    InstructionDataset,
    encode,
    end_of,
    examples_of,
    prepare_instructions,
)
from jaxdec.data.instructions.records import load_conversations
from jaxdec.data.instructions.templates import form_of
from jaxdec.data.tokenizers.registry import Tokenizer
from jaxdec.errors import UserError
from jaxdec.evaluation.instructions.losses import reference_losses
from jaxdec.evaluation.instructions.scores import scores
from jaxdec.evaluation.text import WindowLosses
from jaxdec.generation.responses import AT_ONCE, GREEDY, MOST_TOKENS, one_device, respond
from jaxdec.generation.sampling import Sampling
from jaxdec.models.functional import Model, Params
from jaxdec.runs.loading import LoadedRun

FILE = "responses.json"  # of a run, for its test split
MEANS = ("exact_match", "rouge_l", "token_f1")

Record = dict[str, Any]  # one entry: what was asked, reference, response, and its scores


def answer(
    model: Model,
    params: Params,
    window_losses: WindowLosses,
    entries: Sequence[Entry],
    tokenizer: Tokenizer,
    *,
    end: int,
    max_tokens: int = MOST_TOKENS,
    sampling: Sampling = GREEDY,
    seed: int = 0,
) -> list[Record]:
    """A record for each entry. `reference_perplexity`: of the reference and the end behind it, after the prompt."""
    context = model.config.context  # entries of a file may be longer than the run's window
    with one_device(params) as params:
        found = respond(
            model, params, [entry.prompt for entry in entries], tokenizer,
            end=end, max_tokens=max_tokens, sampling=sampling, seed=seed,
        )  # fmt: skip
        losses = reference_losses(window_losses, entries, context, end, AT_ONCE, params)
    return [
        {
            "instruction": entry.example.instruction,
            "input": entry.example.input,
            "reference": entry.example.response,
            "response": response.text,
            "ended": response.ended,
            **scores(entry.example.response, response.text),
            "reference_perplexity": float(np.exp(total / count)),
            "reference_targets": int(count),
        }
        for entry, response, (total, count) in zip(entries, found, losses, strict=True)
    ]


def entries_of(run: LoadedRun, template: Template, file: Path | None, split: str) -> tuple[list[Entry], int, int]:
    """The entries of a file, or of a split of the run's own corpus; how many were longer than the model's context, or
    than the run's window; and the end token. Raises UserError where none is left."""
    stage = run.config.resolved_stage
    if file is None:
        assert isinstance(stage, Instruct)
        data = prepare_instructions(
            run.config.data, replace(stage, template=template), run.config.window, tokenizer=run.tokenizer
        )
        entries, left_out, end = data.entries[split], data.left_out[split], data.end
    else:
        form, end, context = form_of(template), end_of(run.tokenizer), run.model.config.context
        examples = [each for found in load_conversations(str(file)) for each in examples_of(form, found)]
        entries = [encode(run.tokenizer, end, example) for example in examples]
        entries, left_out = [each for each in entries if len(each.ids) <= context], len(entries)
        left_out -= len(entries)
    if not entries:
        where = f"of {file}" if file is not None else f"in the {split} split"
        raise UserError(f"there is no entry {where} that the model can read: {left_out} are too long")
    return entries, left_out, end


def summary(records: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """Means over the records; the perplexity is that of all their targets together."""
    means = {name: sum(each[name] for each in records) / len(records) for name in MEANS}
    targets = sum(each["reference_targets"] for each in records)
    total = sum(each["reference_targets"] * math.log(each["reference_perplexity"]) for each in records)
    return {**means, "reference_perplexity": math.exp(total / targets)}


class TestResponses:
    """The responses to the test split. Those to the newest parameters are kept, since the file of a run that has ended
    wants them after its evaluation."""

    __test__ = False  # no class of tests, whatever its name makes pytest think

    def __init__(self, model: Model, window_losses: WindowLosses, dataset: InstructionDataset) -> None:
        self.model, self.window_losses, self.dataset = model, window_losses, dataset
        self._newest: tuple[Params, list[Record]] | None = None

    def of(self, params: Params) -> list[Record]:
        if self._newest is None or self._newest[0] is not params:
            records = answer(
                self.model, params, self.window_losses, self.dataset.entries["test"], self.dataset.tokenizer,
                end=self.dataset.end,
            )  # fmt: skip
            self._newest = params, records
        return self._newest[1]

    def evaluate(self, params: Params) -> Iterator[tuple[str, float]]:
        """Yields `test_exact_match`, `test_rouge_l`, `test_token_f1` and `test_reference_perplexity`."""
        if self.dataset.entries["test"]:
            yield from ((f"test_{name}", value) for name, value in summary(self.of(params)).items())

    def write(self, params: Params, run_dir: Path) -> None:
        """Writes `responses.json` into a run."""
        if self.dataset.entries["test"]:
            write_responses(run_dir / FILE, "test", self.of(params))


def write_responses(path: Path, split: str, records: Sequence[Record], **more: Any) -> None:
    """A file of one object: the split, the means, and the responses."""
    write_json(path, {"split": split, "scores": summary(records), **more, "responses": list(records)})
