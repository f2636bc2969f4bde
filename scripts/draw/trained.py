"""Trained models for the pictures: a recipe, trained once into a folder that later pictures read again."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxdec.layers.attention import kernel
from jaxdec.layers.attention.attention import Heads
from jaxdec.recipes import load_recipe
from jaxdec.runs.loading import LoadedRun, load_run
from jaxdec.stages.run import train


def folder() -> Path:
    """Where runs are kept: the command's argument, or runs/draw."""
    return Path(sys.argv[1] if len(sys.argv) > 1 else "runs/draw")


def run_of(recipe: str, corpus: str = "playlets", **settings: Any) -> Path:
    """The run directory of a recipe on a corpus, trained now unless it is there."""
    run_dir = folder() / f"{recipe}-{corpus}".replace(":", "")
    if not (run_dir / "summary.json").exists():
        config = load_recipe(recipe)
        config = replace(config, data=replace(config.data, corpus=corpus), train=replace(config.train, **settings))
        train(config, run_dir)
    return run_dir


def trained(recipe: str, corpus: str = "playlets", **settings: Any) -> LoadedRun:
    """The model of such a run."""
    return load_run(run_of(recipe, corpus, **settings))


def embedded(run: LoadedRun, text: str) -> tuple[Any, jax.Array]:
    """The model as a module, and its token vectors with positions, [1,T,D]."""
    module, dtype = run.model.module(run.params), jnp.dtype(run.model.precision.compute)
    ids_T = jnp.asarray(run.tokenizer.encode(text))
    x_TD = module.token_embed(ids_T, dtype) + module.position_embed(jnp.arange(len(ids_T)), dtype)
    return module, x_TD[None]


def attention_weights(heads: Heads, x_BTD: jax.Array) -> np.ndarray:
    """The weights of a layer's heads for inputs at positions 0, 1, ...: [H,T,S]."""
    positions_BT = jnp.arange(x_BTD.shape[1])[None]
    q_BTHC, k_BSKC, _ = heads.project(x_BTD, positions_BT)
    weights_BHTS = kernel.attention_weights(
        q_BTHC,
        k_BSKC,
        mask=kernel.Mask(heads.pattern, positions=None, present_BS=None),
        scale=heads.config.score_scale,
        softcap=heads.pattern.softcap,
        alibi=heads.pattern.alibi,
        sink_H=None if heads.sink is None else heads.sink[...],
    )
    return np.asarray(weights_BHTS[0])


def show_weights(axes: Any, weights_TS: np.ndarray, text: str, title: str) -> None:
    """A heat map of attention weights, a row for each query, with the characters of the text along both sides."""
    letters = [letter.replace(" ", "_").replace("\n", "/") for letter in text]
    axes.imshow(weights_TS, cmap="Blues", vmin=0, vmax=1)
    axes.set_xticks(range(len(text)), letters, fontsize=6)
    axes.set_yticks(range(len(text)), letters, fontsize=6)
    axes.tick_params(length=0)
    axes.set(title=title)
