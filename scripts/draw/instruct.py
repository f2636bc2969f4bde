"""docs/stages/instruct.png: a batch in buckets, entries packed into rows, and the validation loss of two runs.

    python scripts/draw/instruct.py runs/instruct runs/instructed

Batches are those of the first run; the losses are read from both runs' metrics.jsonl.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import style
from matplotlib.colors import ListedColormap, to_rgb

from jaxdec.config.instruct import Buckets, Instruct, Packed
from jaxdec.data.batches import Batch
from jaxdec.data.instructions.batches import InstructionBatches, rows_of
from jaxdec.data.instructions.examples import prepare_instructions
from jaxdec.data.tokenizers.registry import load_tokenizer
from jaxdec.runs.directory import require_run
from jaxdec.runs.metrics import read_metrics

FOLDER = Path(__file__).resolve().parents[2] / "docs" / "stages"
ROWS = 8


def main() -> None:
    first, second = (Path(word) for word in sys.argv[1:3])
    fig, (bucket, packed, losses) = style.figure(3, width=3.6, height=2.6)
    for axes, batching, title in ((bucket, Buckets(), "buckets"), (packed, Packed(), "packed")):
        draw_batch(axes, batch_of_run(first, batching), title)
    for run, label, colour in (
        (first, "embedded, fresh weights", style.BLUE),
        (second, "instruct, pretrained", style.ORANGE),
    ):
        found = {
            line["step"]: loss
            for line in read_metrics(run / "metrics.jsonl")
            if (loss := line.get("sweep_loss") or line.get("validation_loss")) is not None
        }
        losses.plot(list(found), list(found.values()), "o-", color=colour, label=label)
    losses.set(xlabel="step", ylabel="nats per token of a response", title="validation loss", ylim=(0, None))
    losses.legend(frameon=False)
    fig.savefig(FOLDER / "instruct.png", dpi=110)
    print(FOLDER / "instruct.png")


def batch_of_run(run: Path, batching: Any) -> Batch:
    """A batch of a run's entries in other rows."""
    config, tokenizer = require_run(run), load_tokenizer(run / "tokenizer")
    stage = config.resolved_stage
    assert isinstance(stage, Instruct)
    data = prepare_instructions(config.data, stage, config.window, tokenizer=tokenizer)
    rows = rows_of(data.entries["training"], batching, config.window)
    made = InstructionBatches(rows, batching, config.window, data.end, ROWS, prompt_counts=False, steps_per_dispatch=1)
    return made(0, next(step for step in range(made.per_epoch) if made.chosen(0, step)[1] == ROWS))


def draw_batch(axes: Any, batch: Batch, title: str) -> None:
    """A cell for each target: of a prompt, counted, or padding behind the last that counts."""
    counted = batch["mask"] > 0
    last = np.max(np.where(counted, np.arange(counted.shape[1]), -1), axis=1, keepdims=True)
    kinds = np.where(counted, 1, np.where(np.arange(counted.shape[1]) > last, 2, 0))
    colours = ListedColormap([to_rgb(style.BLUE), to_rgb(style.ORANGE), to_rgb("#e3e6e9")])
    axes.imshow(kinds, cmap=colours, vmin=0, vmax=2, aspect="auto", interpolation="nearest")
    axes.set(title=f"{title}: {counted.sum():,} of {counted.size:,} count", xlabel="token", yticks=[], ylabel="row")


if __name__ == "__main__":
    main()
