"""Every wrong setting is refused with a line that names it."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from jaxdec.config.model import DecoderConfig
from jaxdec.config.parts import MoE
from jaxdec.config.positions import Learned, NoPosition, RoPE, Sinusoidal
from jaxdec.config.run import DataConfig, OptimConfig, RunConfig, TrainConfig
from jaxdec.errors import UserError

MODEL = DecoderConfig(layers=2, heads=2, width=8, context=16)
RUN = RunConfig(model=MODEL, data=DataConfig("playlets"), train=TrainConfig(tokens_per_step=64))


def changed(section: str, **values: Any) -> RunConfig:
    return dataclasses.replace(RUN, **{section: dataclasses.replace(getattr(RUN, section), **values)}).check()


@pytest.mark.parametrize(
    ("section", "values", "said"),
    [
        ("model", {"heads": 3}, "model.heads 3 does not divide model.width 8"),
        ("model", {"layers": 0}, "model.layers is 0"),
        ("model", {"dropout": 1.0}, "model.dropout is 1.0"),
        ("model", {"score_scale": 0.0}, "model.score_scale is 0.0: give more than 0, or None"),
        ("model", {"embed_scale": -1.0}, "model.embed_scale is -1.0: give more than 0, or None"),
        ("model", {"qk_norm_over": "all"}, "model.qk_norm_over is all, but there is no such norm: set model.qk_norm"),
        (
            "model",
            {"branch_norm": "post", "residual": "parallel_one_norm"},
            "model.residual is parallel_one_norm, but with model.branch_norm post no norm stands before the branches",
        ),
        ("model", {"head_bias": True}, "model.head_bias is on, but the head is the token embedding, which has no bias"),
        ("model", {"residual_scale": 0.0}, "model.residual_scale is 0.0: give more than 0, or None"),
        ("model", {"logit_scale": -1.0}, "model.logit_scale is -1.0: give more than 0, or None"),
        ("model", {"position": (RoPE(), Learned())}, "model.position differs from layer to layer, but learned and"),
        (
            "model",
            {"position": (NoPosition(), Sinusoidal())},
            "model.position differs from layer to",
        ),
        ("model", {"position": ()}, "model.position has 0 values for"),
        ("model", {"position": (RoPE(channels=3), NoPosition())}, "rotary positions turn channels in"),
        ("model", {"qkv_clip": 0.0}, "model.qkv_clip is 0.0: give more than 0, or None"),
        ("model", {"position": RoPE(channels=6)}, "model.position.channels 6 is more than the 4 channels of a head"),
        (
            "model",
            {"position": RoPE(channels=3)},
            "rotary positions turn channels in pairs: model.position.channels 3 is odd",
        ),
        ("model", {"vocab_size": 0}, "model.vocab_size is 0"),
        ("data", {"window": 17}, "data.window 17 is longer than model.context 16"),
        ("data", {"window": 0}, "data.window is 0"),
        ("data", {"validation_fraction": 1.0}, "data.validation_fraction is 1.0"),
        ("data", {"sweep_stride": 17}, "data.sweep_stride 17"),
        ("data", {"stride": 17}, "data.stride 17"),
        ("optim", {"warmup_steps": 2001}, "optim.warmup_steps 2001"),
        ("optim", {"learning_rate": -1.0}, "optim.learning_rate is -1.0"),
        ("optim", {"learning_rate": float("nan")}, "optim.learning_rate is nan"),
        ("optim", {"beta2": 1.0}, "optim.beta2 is 1.0"),
        ("optim", {"clip_norm": 0.0}, "optim.clip_norm is 0.0"),
        (
            "train",
            {"tokens_per_step": 65},
            "train.tokens_per_step 65 is not a multiple of the window of 16 tokens: try 64",
        ),
        ("train", {"microbatch": 0}, "train.microbatch is 0"),
        ("train", {"seed": -1}, "train.seed is -1"),
        ("mesh", {"fsdp": 0}, "mesh.fsdp is 0"),
    ],
)
def test_wrong_setting_is_named(section: str, values: dict[str, Any], said: str) -> None:
    with pytest.raises(UserError) as error:
        changed(section, **values)
    assert str(error.value).startswith(said)
    assert "\n" not in str(error.value)


def test_derived_sizes_follow_the_window() -> None:
    short = changed("data", window=8)
    assert (RUN.window, RUN.batch_size) == (16, 4)
    assert (short.window, short.batch_size) == (8, 8)


def test_decay_ends_with_the_run_unless_told_otherwise() -> None:
    assert changed("train", steps=500).decay_steps == 500
    assert dataclasses.replace(RUN, optim=OptimConfig(decay_steps=300)).check().decay_steps == 300


def test_a_gate_of_a_shared_expert_needs_one() -> None:
    with pytest.raises(UserError, match=r"model\.mlp\.shared_gate is True, but there is no shared expert"):
        MoE(experts=2, shared_gate=True)
