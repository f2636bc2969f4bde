"""Masks of dropout for both twins: no two frameworks draw the same ones."""

from __future__ import annotations

import numpy as np

from jaxdec.config.model import DecoderConfig, EncoderDecoderConfig
from jaxdec.config.parts import GatedMLP, MoE
from jaxdec.config.trainable import LoRA
from jaxdec.parity.pairs.run import TwinRun

DropPlaces = list[tuple[str, tuple[int, ...]]]


def keep_masks(run: TwinRun, seed: int) -> list[tuple[str, np.ndarray]]:
    """One mask, True where a value is kept, for each place that drops, in the order of execution, with the torch twin's
    path of the place."""
    config, rng = run.model.decoder, np.random.default_rng(seed)
    assert config is not None
    rows, window = run.config.batch_size * run.config.sequences_per_example, run.config.window
    if isinstance(run.model, EncoderDecoderConfig):
        places = pair_places(run.model, rows, window)
    else:
        places = decoder_places(config, rows, window, run.config.lora)
    return [(path, rng.random(shape) >= config.dropout) for path, shape in places]


def decoder_places(config: DecoderConfig, rows: int, window: int, lora: LoRA | None = None) -> DropPlaces:
    stream, weights = (rows, window, config.width), (rows, config.heads, window, window)
    places: DropPlaces = [("dropout", stream)]
    for layer in range(config.layers):
        block, hidden = f"blocks.{layer}.", config.mlp_of(layer)
        inner = (rows, window, config.heads * config.resolved_head_dim)
        places += adapter_places(lora, block + "attention.", {"query": stream, "key": stream, "value": stream})
        places += [(block + "attention.dropout", weights)]
        places += adapter_places(lora, block + "attention.", {"out": inner})
        places += [(block + "attention_dropout", stream)]
        if not isinstance(hidden, MoE):
            gate = {"gate": stream} if isinstance(hidden, GatedMLP) else {}
            down = (rows, window, hidden.resolved_hidden(config.width))
            places += adapter_places(lora, block + "mlp.", {**gate, "up": stream, "down": down})
        places += [(block + "mlp_dropout", stream)]
    return places


def adapter_places(lora: LoRA | None, prefix: str, inputs: dict[str, tuple[int, ...]]) -> DropPlaces:
    """The adapters of these layers, each of which drops its own inputs."""
    if lora is None:
        return []
    return [(f"{prefix}{name}.dropout", shape) for name, shape in inputs.items() if lora.adapts(prefix + name)]


def pair_places(model: EncoderDecoderConfig, rows: int, target: int) -> DropPlaces:
    source = model.context
    streams = {"source": (rows, source, model.width), "target": (rows, target, model.width)}
    places: DropPlaces = [("source_dropout", streams["source"])]
    for layer in range(model.layers):
        block = f"encoder.{layer}."
        places += [(block + "attention.dropout", (rows, model.heads, source, source))]
        places += [(block + part, streams["source"]) for part in ("attention_dropout", "mlp_dropout")]
    places += [("dropout", streams["target"])]
    for layer in range(model.layers):
        block = f"decoder.{layer}."
        for part, seen in (("attention", target), ("cross_attention", source)):
            places += [(f"{block}{part}.dropout", (rows, model.heads, target, seen))]
            places += [(f"{block}{part}_dropout", streams["target"])]
        places += [(block + "mlp_dropout", streams["target"])]
    return places
