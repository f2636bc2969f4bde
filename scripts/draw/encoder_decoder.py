"""Draws docs/ladder/encoder_decoder.png: where a trained decoder looks in the source while it reverses or sorts it.

    python scripts/draw/encoder_decoder.py

Trains recipe `reverse` on both tasks (40 seconds on two CPU cores). Weights are means over the heads of the last block.
"""

from __future__ import annotations

import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest.mock import patch

import jax
import jax.numpy as jnp
import numpy as np
from style import figure, save

from jaxdec.config.run import DataConfig
from jaxdec.data.pairs import boundary_of
from jaxdec.generation.beam import Beam
from jaxdec.generation.translation import translate_text
from jaxdec.layers.attention import kernel
from jaxdec.recipes import load_recipe
from jaxdec.runs.loading import LoadedRun, load_run
from jaxdec.stages.run import train

SOURCE = "transformer"


def weights(run: LoadedRun, source: str, target: str) -> np.ndarray:
    """[T,S]: the last block's weights while it writes each letter and the end."""
    tokenizer, end, found = run.tokenizer, boundary_of(run.tokenizer), []
    ids, written = ([*tokenizer.encode(text).tolist(), end] for text in (source, target))
    original = kernel.attention_weights

    def recorded(*inputs: Any, **options: Any) -> jax.Array:
        found.append(original(*inputs, **options))
        return found[-1]

    tokens = jnp.asarray([[end, *written[:-1]]])
    with patch.object(kernel, "attention_weights", recorded):
        run.model.apply(run.params, tokens, source=jnp.asarray([ids]), source_mask=jnp.ones((1, len(ids))))
    return np.asarray(found[-1][0].mean(0))  # the decoder's last attention is that to the source


def main() -> None:
    fig, axes = figure(2)
    for task, ax in zip(("reverse", "sort"), axes, strict=True):
        with tempfile.TemporaryDirectory() as folder:
            train(replace(load_recipe("reverse"), data=DataConfig(corpus=task)), Path(folder) / "run")
            run = load_run(Path(folder) / "run")
        ((target, _),) = translate_text(run, [SOURCE], Beam(1, 0.0))
        ax.imshow(weights(run, SOURCE, target), cmap="Blues", vmin=0, vmax=1)
        ax.set_xticks(range(len(SOURCE) + 1), [*SOURCE, "end"])
        ax.set_yticks(range(len(target) + 1), [*target, "end"])
        ax.set_xlabel("source")
        ax.set_ylabel("written")
        ax.set_title(f"{task}: {SOURCE} -> {target}")
    save(fig, "encoder_decoder")


if __name__ == "__main__":
    main()
