"""Suite `loss`: how well a model predicts a corpus, in units that depend on the tokenizer and in units that do not.

The sweep reads every token of a split once, in windows of the run's length. With the mean loss L in nats a token over N
tokens whose text has B bytes: perplexity = exp(L), bits per byte = L N / (B ln 2) (Gao et al. 2020, "The Pile", section
3.1), and bits per character with characters for bytes. The first token of a split is not predicted, so its text is not
counted; a token between documents is predicted, and has no text.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from jaxdec.data.batches import Batch, sweep
from jaxdec.data.shards import Dataset, prepare
from jaxdec.errors import UserError
from jaxdec.evaluation.suites.continuations import rows_per_call
from jaxdec.evaluation.suites.options import SuiteOptions
from jaxdec.evaluation.suites.text_size import TextSize, text_size
from jaxdec.evaluation.text import make_window_losses, mean_loss
from jaxdec.runs.loading import LoadedRun

SPLITS = {"validation": ("validation",), "train": ("train",), "all": ("train", "validation")}


@dataclass(frozen=True)
class Sweep:
    """Windows over the tokens of one or both splits. `tokens`: ids [tokens]; `batches()`: each target once."""

    tokens: np.ndarray
    window: int
    stride: int
    rows: int

    def batches(self) -> Iterator[Batch]:
        return sweep(self.tokens, self.window, self.stride, self.rows)


def evaluate(run: LoadedRun, options: SuiteOptions) -> Mapping[str, Any]:
    """`loss` in nats per token with its standard error over windows, `perplexity`, `bits_per_byte`,
    `bits_per_character`, and what was counted."""
    dataset = prepare(run.config.data, tokenizer=run.tokenizer)
    swept = make_sweep(run, dataset, options.split)
    loss, error = mean_loss(make_window_losses(run.model), run.params, swept.batches())
    size = text_size(run.config.data, dataset, SPLITS[options.split])
    first = dataset.tokenizer.decode(swept.tokens[:1]) if size.characters else ""
    predicted = TextSize(size.characters - len(first), size.bytes - len(first.encode()), size.source)
    return {
        "corpus": dataset.corpus,
        "split": options.split,
        **figures(loss, error, len(swept.tokens) - 1, predicted),
        "window": swept.window,
        "stride": swept.stride,
    }


def figures(loss: float, error: float, tokens: int, size: TextSize) -> dict[str, Any]:
    """The same loss in every unit; `size`: that of the text of these tokens."""
    per_byte, per_character = (tokens / (count * math.log(2)) for count in (size.bytes, size.characters))
    return {
        "loss": loss,
        "loss_standard_error": error,
        "perplexity": math.exp(min(loss, 700.0)),
        "bits_per_byte": loss * per_byte,
        "bits_per_byte_standard_error": error * per_byte,
        "bits_per_character": loss * per_character,
        "bits_per_character_standard_error": error * per_character,
        "tokens": tokens,
        "bytes": size.bytes,
        "characters": size.characters,
        "bytes_of": size.source,
    }


def make_sweep(run: LoadedRun, dataset: Dataset, split: str, stride: int | None = None) -> Sweep:
    """A sweep in the windows of the run, or in one of the whole text where that is shorter."""
    parts = [np.asarray(getattr(dataset, name)) for name in SPLITS[split]]
    tokens = parts[0] if len(parts) == 1 else np.concatenate(parts)
    if len(tokens) < 2:
        raise UserError(f"the {split} split of {dataset.corpus} has {len(tokens)} tokens: two are needed at least")
    window = min(run.config.window, len(tokens) - 1)
    stride = min(stride or run.config.data.sweep_stride or window, window)
    assert run.config.model.vocab_size is not None
    return Sweep(tokens, window, stride, rows_per_call(run.config.model.vocab_size, window))
