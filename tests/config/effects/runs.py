"""For each field of all other classes of a config: another value, and the settings that hold it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from jaxdec.config import classify, instruct, preference, reinforce, stages, tokenizers, trainable
from jaxdec.config.run import DataConfig, LogConfig, MeshConfig, OptimConfig, Precision, RunConfig, TrainConfig
from tests.config.effects.models import MODEL

# As in `models`.
VALUES: dict[type, dict[str, Any]] = {
    stages.Pretrain: {},
    stages.Translate: {},
    instruct.Alpaca: {},
    instruct.Phi3: {},
    instruct.ChatML: {},
    instruct.Own: {"path": "other.txt"},
    instruct.Buckets: {"multiple": 5},
    instruct.Packed: {},
    instruct.Instruct: {
        "template": instruct.Phi3(),
        "prompt_loss": "counted",
        "batching": instruct.Packed(),
        "too_long": "cut",
        "test_fraction": 0.4,
        "split_seed": 1,
    },
    trainable.Everything: {},
    trainable.Matching: {"patterns": ("blocks.*",)},
    trainable.LastBlocks: {"blocks": 0},
    trainable.LoRA: {"rank": 3, "alpha": 4.0, "dropout": 0.5, "targets": ("query",)},
    preference.DPO: {"beta": 0.5, "label_smoothing": 0.2},
    preference.IPO: {"tau": 0.5},
    preference.Preference: {
        "loss": preference.IPO(),
        "template": instruct.Phi3(),
        "too_long": "cut",
        "test_fraction": 0.3,
        "split_seed": 1,
    },
    classify.Classify: {
        "labels": (classify.Classify(), ("spam", "ham")),
        "at": "last_position",
        "balance": "none",
        "test_fraction": 0.4,
        "split_seed": 1,
        "label_field": (classify.Classify(), "other"),
    },
    reinforce.Reinforce: {
        "group": 4,
        "updates": 2,
        "temperature": 0.5,
        "answer_tokens": 5,
        "reward": "partial",
        "baseline": "centered",
        "clip": 0.05,
        "kl": 0.5,
        "average": "token",
    },
    tokenizers.Characters: {},
    tokenizers.Words: {},
    tokenizers.GPT2: {},
    tokenizers.BPE: {"vocab_size": 270},
    tokenizers.HuggingFace: {"path": "other.json"},
    tokenizers.SentencePiece: {"path": "other.bin"},
    DataConfig: {
        "corpus": "markov",
        "text_field": (DataConfig("folder/records.jsonl"), "other"),
        "limit_documents": (DataConfig("folder/records.jsonl"), 30),
        "limit_files": (DataConfig("folder"), 1),
        "tokenizer": tokenizers.Words(),
        "window": 8,
        "stride": 3,
        "validation_fraction": 0.3,
        "sweep_stride": 4,
    },
    OptimConfig: {
        "learning_rate": 5e-3,
        "min_learning_rate": 5e-4,
        "warmup_steps": 3,
        "decay_steps": 5,
        "beta1": 0.5,
        "beta2": 0.5,
        "epsilon": 1.0,
        "weight_decay": 0.9,
        "clip_norm": None,
    },
    TrainConfig: {
        "steps": 9,
        "tokens_per_step": 128,
        "microbatch": 2,
        "steps_per_dispatch": 3,
        "log_every": 3,
        "evaluate": (TrainConfig(steps=8, tokens_per_step=64, eval_every=4), "none"),
        "peak_tflops": 2.0,
        "eval_every": 3,
        "eval_batches": 1,
        "checkpoint_every": 2,
        "keep_checkpoints": 1,
        "seed": 5,
    },
    Precision: {"params": "bfloat16", "compute": "bfloat16"},
    MeshConfig: {"data": 2, "fsdp": 2},
    LogConfig: {"tensorboard": True, "wandb": True, "updates": True},
}
BASES: dict[type, tuple[Any, Callable[[Any], dict[str, Any]]]] = {
    instruct.Own: (instruct.Own("one.txt"), lambda it: {"stage": instruct.Instruct(it)}),
    instruct.Buckets: (instruct.Buckets(), lambda it: {"stage": instruct.Instruct(batching=it)}),
    instruct.Instruct: (instruct.Instruct(), lambda it: {"stage": it}),
    trainable.Matching: (trainable.Matching(("token_embed.*",)), lambda it: {"trainable": it}),
    trainable.LastBlocks: (
        trainable.LastBlocks(),
        lambda it: {"trainable": it, "model": replace(MODEL, tied_head=False)},
    ),
    trainable.LoRA: (trainable.LoRA(rank=2), lambda it: {"trainable": it}),
    preference.DPO: (preference.DPO(), lambda it: {"stage": preference.Preference(it)}),
    preference.IPO: (preference.IPO(), lambda it: {"stage": preference.Preference(it)}),
    preference.Preference: (preference.Preference(), lambda it: {"stage": it}),
    reinforce.Reinforce: (reinforce.Reinforce(group=2, updates=1), lambda it: {"stage": it}),
    classify.Classify: (classify.Classify(), lambda it: {"stage": it}),
    tokenizers.BPE: (tokenizers.BPE(vocab_size=300), lambda it: {"data": DataConfig("text", it)}),
    tokenizers.HuggingFace: (tokenizers.HuggingFace("one.json"), lambda it: {"data": DataConfig("text", it)}),
    tokenizers.SentencePiece: (tokenizers.SentencePiece("one.bin"), lambda it: {"data": DataConfig("text", it)}),
    DataConfig: (DataConfig("text"), lambda it: {"data": it}),
    OptimConfig: (OptimConfig(warmup_steps=2), lambda it: {"optim": it}),
    TrainConfig: (TrainConfig(steps=8, tokens_per_step=64), lambda it: {"train": it}),
    Precision: (Precision(), lambda it: {"precision": it}),
    MeshConfig: (MeshConfig(), lambda it: {"mesh": it}),
    LogConfig: (LogConfig(), lambda it: {"log": it}),
}
RUN = RunConfig(
    model=MODEL,
    data=DataConfig("text"),
    optim=OptimConfig(warmup_steps=2),
    train=TrainConfig(steps=8, tokens_per_step=64),
)
