"""Cases of encoder-decoders, and what both sides compute for them where that takes a source."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch

from jaxdec.model_config import EncoderDecoder
from jaxdec.parity.taps import nnx_taps, torch_taps
from jaxdec.parity.weights import Regime, generic_weights
from parity_tests import jax_side, torch_side
from parity_tests.cases import Batch, Case, make_case
from tests.encoder_decoders import DEEP, MODELS, pair_batch

WINDOW, BOUNDARY = 9, 0
INPUTS = ("tokens", "source", "source_mask")


@dataclass(frozen=True)
class PairCase(Case):
    """A case whose batches have sources, of another length than the targets."""

    def batches(self, count: int) -> list[Batch]:
        rng, model = np.random.default_rng(self.seed), self.config.model
        shape = (self.config.batch_size, self.config.window, model.context)
        return [pair_batch(*shape, self.vocab_size, rng) for _ in range(count)]

    def keep_masks(self) -> list[tuple[str, np.ndarray]]:
        model, rng = self.config.model.decoder, np.random.default_rng(self.seed)
        assert model is not None
        rows, source, target = self.config.batch_size, model.context, self.config.window
        widths = {"source": (rows, source, model.width), "target": (rows, target, model.width)}
        places = [("source_dropout", widths["source"])]
        for layer in range(model.layers):
            block = f"encoder.{layer}."
            places += [(block + "attention.dropout", (rows, model.heads, source, source))]
            places += [(block + part, widths["source"]) for part in ("attention_dropout", "mlp_dropout")]
        places += [("dropout", widths["target"])]
        for layer in range(model.layers):
            block = f"decoder.{layer}."
            for part, seen in (("attention", target), ("cross_attention", source)):
                places += [(f"{block}{part}.dropout", (rows, model.heads, target, seen))]
                places += [(f"{block}{part}_dropout", widths["target"])]
            places += [(block + "mlp_dropout", widths["target"])]
        return [(path, rng.random(shape) >= model.dropout) for path, shape in places]


def pair_case(name: str, model: EncoderDecoder, regime: Regime) -> PairCase:
    case = make_case(name, model, regime, window=WINDOW)
    return PairCase(case.name, case.config, case.regime)


CASES = [pair_case(name, model, regime) for name, model in MODELS.items() for regime in ("init", "generic")]
TWO_LAYERS = pair_case("two layers", DEEP, "generic")
GENERIC = [case for case in CASES if case.regime == "generic"]
PAPER = GENERIC[0]
INIT = CASES[0]


@pytest.fixture(autouse=True)
def criterion_for_encoder_decoders() -> Iterator[None]:
    """Generic weights give activations of size one: the token table, which is multiplied by sqrt(D), is drawn smaller
    by that, or the first softmax would saturate and Adam's first step divide gradients of size epsilon."""

    def scaled_weights(shapes: Any, seed: int) -> dict[str, np.ndarray]:
        drawn = generic_weights(shapes, seed)
        table = drawn["token_embed.embedding"]
        return {**drawn, "token_embed.embedding": (table / table.shape[1] ** 0.5).astype(np.float32).astype(float)}

    with patch.object(jax_side, "generic_weights", scaled_weights):
        yield


@functools.cache
def jax_forward(case: PairCase) -> dict[str, np.ndarray]:
    model = jax_side.model_of(case)

    @jax.jit
    def run(params: dict[str, jax.Array], batch: Batch) -> dict[str, jax.Array]:
        module = model.module(params)
        with nnx_taps(module) as record:
            inputs = {name: batch[name] for name in model.inputs}
            output = module(batch["tokens"], jnp.dtype(model.precision.compute), **inputs)
        return {**record, "logits": output.logits_BTV}

    with jax_side.native(case):
        return jax_side.numpy(run(jax_side.params_of(case), case.batches(1)[0]))


def torch_forward(case: PairCase) -> dict[str, np.ndarray]:
    model, batch = torch_side.build(case).eval(), case.batches(1)[0]
    with torch.no_grad(), torch_taps(model) as record:
        logits = model(*(torch.from_numpy(batch[name]) for name in INPUTS)).logits_BTV
    return {name: value.to(torch.float64).numpy() for name, value in {**record, "logits": logits}.items()}


OURS = SimpleNamespace(**{**vars(jax_side), "forward": jax_forward})
TWIN = SimpleNamespace(**{**vars(torch_side), "forward": torch_forward})
TWIN_ONCE = SimpleNamespace(
    forward=functools.cache(torch_forward),
    loss_and_gradients=functools.cache(torch_side.loss_and_gradients),
    trajectory=functools.cache(torch_side.trajectory),
)
