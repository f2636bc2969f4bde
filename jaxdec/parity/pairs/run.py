"""What a pair of twins is made of: a model's config, its recipe of training, and data that follow from a seed."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from jaxdec.config.documents import Separate
from jaxdec.config.model import AnyModel, EncoderDecoderConfig
from jaxdec.config.parts import MoE
from jaxdec.config.run import DataConfig, OptimConfig, Precision, RunConfig, TrainConfig
from jaxdec.config.stages import AnyStage
from jaxdec.parity.pair import random_batches
from jaxdec.parity.pairs.batches.registry import BATCHES
from jaxdec.parity.setting import PairBatch

STEPS = 100
OPTIM = OptimConfig(
    learning_rate=1e-3,
    min_learning_rate=1e-4,
    warmup_steps=10,
    decay_steps=90,  # so that the last steps run at the minimum
    beta2=0.99,
    weight_decay=0.1,
    clip_norm=1.0,
)


@dataclass(frozen=True)
class TwinRun:
    """`config.data.window` and the batch size give the batch's shape; a source has the model's context."""

    config: RunConfig

    @property
    def model(self) -> AnyModel:
        return self.config.model

    @property
    def vocab_size(self) -> int:
        assert self.model.vocab_size is not None
        return self.model.vocab_size

    def at(self, precision: str) -> RunConfig:
        """The config in a precision; bfloat16 computes from float32 parameters."""
        return replace(self.config, precision=Precision(params=params_dtype(precision), compute=precision))  # type: ignore[arg-type]

    def batches(self, seed: int, count: int) -> list[PairBatch]:
        shape = (self.config.batch_size, self.config.window)
        if (own := BATCHES.get(self.config.resolved_stage.kind)) is not None:
            return own(self.config, seed, count)
        if isinstance(self.model, EncoderDecoderConfig):
            return pair_batches(seed, count, shape, self.model.context, self.vocab_size)
        batches = random_batches(seed, count, shape, self.vocab_size)
        return [self.packed(batch, seed) for batch in batches] if self.start is not None else batches

    @property
    def start(self) -> int | None:
        """The token that begins a document, where the model keeps documents apart."""
        documents = None if self.model.decoder is None else self.model.decoder.documents
        return documents.start if isinstance(documents, Separate) else None

    def packed(self, batch: PairBatch, seed: int) -> PairBatch:
        """The batch with documents of four tokens or so."""
        text = np.concatenate([batch["tokens"], batch["targets"][:, -1:]], axis=1)
        text = self.with_starts(text, seed)
        return {**batch, "tokens": text[:, :-1], "targets": text[:, 1:]}

    def with_starts(self, tokens: np.ndarray, seed: int) -> np.ndarray:
        """The tokens with every fourth or so, of those after the first, replaced by the start of a document."""
        if self.start is None:
            return tokens
        begins = np.random.default_rng([seed, 1]).random(tokens.shape) < 0.25
        begins[..., 0] = False
        return np.where(begins, np.int32(self.start), tokens)

    @property
    def continues(self) -> bool:
        """Whether a text alone can be continued, and what follows it changes nothing: a source is needed besides,
        experts with a capacity drop by the whole batch, or a classifier predicts no tokens."""
        config = self.model.decoder
        parts = [] if config is None else [config.mlp_of(layer) for layer in range(config.layers)]
        drops = any(isinstance(part, MoE) and part.eval_capacity_factor is not None for part in parts)
        predicts_tokens = getattr(self.model, "classes", None) is None
        return predicts_tokens and not drops and not isinstance(self.model, EncoderDecoderConfig)

    @property
    def routed(self) -> dict[str, int]:
        """For the tap of each router's scores, how many experts it chooses."""
        config = self.model.decoder
        parts = [] if config is None else [config.mlp_of(layer) for layer in range(config.layers)]
        return {f"blocks.{i}.mlp.router": part.top_k for i, part in enumerate(parts) if isinstance(part, MoE)}


def twin_run(
    model: AnyModel,
    *,
    batch_size: int = 4,
    window: int | None = None,
    steps: int = STEPS,
    stage: AnyStage | None = None,
) -> TwinRun:
    """A run of the recipe that all twins share. `stage`: None for the first of the model's kind."""
    tokens = batch_size * (window or model.context) * getattr(stage, "sequences", 1)
    config = RunConfig(
        model=model,
        data=DataConfig(corpus="random", window=window),
        stage=stage,
        optim=OPTIM,
        train=TrainConfig(steps=steps, tokens_per_step=tokens),
        precision=Precision("float64", "float64"),
    )
    return TwinRun(config.check())


def params_dtype(precision: str) -> str:
    return "float32" if precision == "bfloat16" else precision


def pair_batches(seed: int, count: int, shape: tuple[int, int], context: int, vocab_size: int) -> list[PairBatch]:
    """Random tokens; sources of unequal lengths, of which the longest fills its row; unequal numbers of targets."""
    rng, (rows, window) = np.random.default_rng(seed), shape
    return [pair_batch(rows, window, context, vocab_size, rng) for _ in range(count)]


def pair_batch(rows: int, window: int, source_window: int, vocab_size: int, rng: np.random.Generator) -> PairBatch:
    text = rng.integers(0, vocab_size, (rows, window + 1), dtype=np.int32)
    lengths = np.linspace(1, source_window, rows).astype(int)[:, None]
    counts = rng.integers(1, window + 1, rows)[:, None]
    return {
        "tokens": text[:, :-1],
        "targets": np.ascontiguousarray(text[:, 1:]),
        "mask": (np.arange(window)[None, :] < counts).astype(np.float32),
        "source": rng.integers(0, vocab_size, (rows, source_window), dtype=np.int32),
        "source_mask": (np.arange(source_window)[None, :] < lengths).astype(np.float32),
    }
