"""Suite `positions`: the loss of a token by its position in the context. Where it goes on falling, the model uses what
it has read; where it rises, the model is beyond what it was trained on.

The windows of a split follow each other without a gap. The target at position t has t tokens before it, t from 1 to the
window. Positions are drawn together in 1, 2, 3-4, 5-8 ...; the standard error is that over windows of their mean.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import Any

import jax
import numpy as np

from jaxdec.config.files import whole_file
from jaxdec.data.batches import Batch
from jaxdec.data.shards import prepare
from jaxdec.evaluation.suites.loss import make_sweep
from jaxdec.evaluation.suites.options import SuiteOptions
from jaxdec.models.functional import Params
from jaxdec.runs.loading import LoadedRun
from jaxdec.training.losses import token_losses


def evaluate(run: LoadedRun, options: SuiteOptions) -> Mapping[str, Any]:
    """`loss_at` and `standard_error_at` of each stretch of positions; for files, `losses` of every position."""
    dataset = prepare(run.config.data, tokenizer=run.tokenizer)
    swept = make_sweep(run, dataset, options.split, stride=run.config.window)
    windows = 1 + (len(swept.tokens) - 2) // swept.window
    most = windows if options.limit is None else min(options.limit, windows)
    losses_NT = np.concatenate(list(_losses(run, islice(swept.batches(), -(-most // swept.rows)))))[:most]
    whole = losses_NT[~np.isnan(losses_NT).any(axis=1)]  # the last window has targets of the one before it
    stretches = list(doubling(swept.window))
    means = np.stack([whole[:, first - 1 : last].mean(axis=1) for first, last in stretches], axis=1)
    names = [str(first) if first == last else f"{first}-{last}" for first, last in stretches]
    errors = means.std(axis=0, ddof=1) / np.sqrt(len(means)) if len(means) > 1 else np.zeros(len(names))
    result: dict[str, Any] = {
        "corpus": dataset.corpus,
        "split": options.split,
        "windows": len(whole),
        "window": swept.window,
        "loss_at": dict(zip(names, means.mean(axis=0).tolist(), strict=True)),
        "standard_error_at": dict(zip(names, errors.tolist(), strict=True)),
        "losses": whole.mean(axis=0).tolist(),
    }
    if options.plot is not None:
        draw(whole.mean(axis=0), stretches, means.mean(axis=0), errors, options.plot)
        result["plot"] = str(options.plot)
    return result


def printed(values: Mapping[str, Any]) -> Mapping[str, Any]:
    """The losses with their standard errors beside them."""
    errors = values["standard_error_at"]
    table = {name: f"{loss:.4f} ± {errors[name]:.4f}" for name, loss in values["loss_at"].items()}
    shown = {name: value for name, value in values.items() if name not in ("losses", "standard_error_at")}
    return {**shown, "loss_at": table}


def doubling(window: int) -> Iterator[tuple[int, int]]:
    """The first and the last position of 1, 2, 3-4, 5-8 ... up to the window.

    >>> list(doubling(6))
    [(1, 1), (2, 2), (3, 4), (5, 6)]
    """
    first, last = 1, 1
    while first <= window:
        yield first, min(last, window)
        first, last = last + 1, last * 2


def _losses(run: LoadedRun, batches: Iterator[Batch]) -> Iterator[np.ndarray]:
    """Losses in nats [B,T], NaN where a target does not count."""

    @jax.jit
    def losses(params: Params, batch: Batch) -> jax.Array:
        return token_losses(run.model.read(params, batch).logits_BTV, batch["targets"])

    for batch in batches:
        yield np.where(batch["mask"] > 0, jax.device_get(losses(run.params, batch)), np.nan)


def draw(
    losses_T: np.ndarray, stretches: list[tuple[int, int]], means: np.ndarray, errors: np.ndarray, png: Path
) -> None:
    """Draws the loss of each position, and the mean of each stretch with its standard error, whole or not at all."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 4.2), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    axes.plot(np.arange(1, 1 + len(losses_T)), losses_T, linewidth=0.8, alpha=0.6, label="each position")
    middles = [np.sqrt(first * last) for first, last in stretches]
    axes.errorbar(
        middles, means, errors, marker="o", markersize=4, linewidth=1.6, capsize=3, label="1, 2, 3-4, 5-8 ..."
    )
    axes.set_xscale("log", base=2)
    axes.xaxis.set_major_formatter("{x:g}")
    axes.set_xlabel("tokens before the target")
    axes.set_ylabel("loss (nats per token)")
    axes.grid(alpha=0.3)
    axes.legend()
    with whole_file(png) as temporary:
        figure.savefig(temporary, format="png", dpi=120)
