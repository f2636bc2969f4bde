"""Decoder-only language models in JAX, from data to sample, each proven equal to its PyTorch twin.

    import jaxdec

    tok = jaxdec.tokenizer("char", text)
    model = jaxdec.model(layers=2, heads=4, width=64, context=32)
    run = jaxdec.train(model, text, tok, steps=200)      # in memory: no folder
    run.losses, run.evaluate(text), run.generate("Once")
    run.save("runs/first"); run = jaxdec.load("runs/first")

`docs/library.md` shows the rest. Names are looked up when they are first used: importing jaxdec imports neither jax nor
torch.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from jaxdec.config.model import (
        BigramConfig,
        DecoderConfig,
        EncoderDecoderConfig,
        MultiHeadConfig,
        OneBlockConfig,
        SingleHeadConfig,
    )
    from jaxdec.config.parts import MLP, Full, GatedMLP, LayerNorm, Local, MoE, RMSNorm, Strided
    from jaxdec.config.positions import Learned, NoPosition, RoPE, Sinusoidal
    from jaxdec.config.run import (
        DataConfig,
        LogConfig,
        MeshConfig,
        OptimConfig,
        Precision,
        RunConfig,
        TrainConfig,
    )
    from jaxdec.config.yaml import load_config
    from jaxdec.errors import TrainingError, UserError
    from jaxdec.generation.generate import generate, stream
    from jaxdec.generation.sampling import Sampling
    from jaxdec.library.run import TrainingRun
    from jaxdec.library.start import load, start, train
    from jaxdec.library.values import model, tokenizer, with_settings
    from jaxdec.models.functional import Model
    from jaxdec.models.ladder import LADDER
    from jaxdec.recipes import load_recipe, recipe_names
    from jaxdec.runs.loading import load_run
    from jaxdec.stages.run import evaluate

_HOMES = {
    # what to do
    "tokenizer": "library.values",
    "model": "library.values",
    "with_settings": "library.values",
    "train": "library.start",
    "start": "library.start",
    "load": "library.start",
    "TrainingRun": "library.run",
    "load_recipe": "recipes",
    "recipe_names": "recipes",
    "load_config": "config.yaml",
    "load_run": "runs.loading",
    "evaluate": "stages.run",
    "generate": "generation.generate",
    "stream": "generation.generate",
    "Sampling": "generation.sampling",
    "Model": "models.functional",
    "LADDER": "models.ladder",
    # settings
    "RunConfig": "config.run",
    "DataConfig": "config.run",
    "OptimConfig": "config.run",
    "TrainConfig": "config.run",
    "Precision": "config.run",
    "MeshConfig": "config.run",
    "LogConfig": "config.run",
    "BigramConfig": "config.model",
    "SingleHeadConfig": "config.model",
    "MultiHeadConfig": "config.model",
    "OneBlockConfig": "config.model",
    "DecoderConfig": "config.model",
    "EncoderDecoderConfig": "config.model",
    "LayerNorm": "config.parts",
    "RMSNorm": "config.parts",
    "Full": "config.parts",
    "Local": "config.parts",
    "Strided": "config.parts",
    "MLP": "config.parts",
    "GatedMLP": "config.parts",
    "MoE": "config.parts",
    "Learned": "config.positions",
    "Sinusoidal": "config.positions",
    "RoPE": "config.positions",
    "NoPosition": "config.positions",
    # what can go wrong
    "UserError": "errors",
    "TrainingError": "errors",
}

__all__ = [
    "LADDER",
    "MLP",
    "BigramConfig",
    "DataConfig",
    "DecoderConfig",
    "EncoderDecoderConfig",
    "Full",
    "GatedMLP",
    "LayerNorm",
    "Learned",
    "Local",
    "LogConfig",
    "MeshConfig",
    "MoE",
    "Model",
    "MultiHeadConfig",
    "NoPosition",
    "OneBlockConfig",
    "OptimConfig",
    "Precision",
    "RMSNorm",
    "RoPE",
    "RunConfig",
    "Sampling",
    "SingleHeadConfig",
    "Sinusoidal",
    "Strided",
    "TrainConfig",
    "TrainingError",
    "TrainingRun",
    "UserError",
    "evaluate",
    "generate",
    "load",
    "load_config",
    "load_recipe",
    "load_run",
    "model",
    "recipe_names",
    "start",
    "stream",
    "tokenizer",
    "train",
    "with_settings",
]


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from importlib.metadata import version

        return version("jaxdec")
    if name not in _HOMES:
        raise AttributeError(f"module 'jaxdec' has no attribute {name!r}")
    return getattr(importlib.import_module(f"jaxdec.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOMES, "__version__"})
