"""The benchmark of mixtures compares like with like, and says what it measured."""

from __future__ import annotations

from dataclasses import replace

import pytest

from jaxdec.bench import moe as bench_moe
from jaxdec.config.parts import MLP, MoE


def test_every_token_meets_as_many_channels_on_every_side():
    channels = set()
    for mlp in bench_moe.SIDES.values():
        if isinstance(mlp, MoE):
            assert isinstance(mlp.expert, MLP) and mlp.shared is None and mlp.capacity_factor == 1.25
            channels.add(mlp.top_k * mlp.expert.resolved_hidden(1))
        else:
            assert isinstance(mlp, MLP)
            channels.add(mlp.resolved_hidden(1))
    assert len(channels) == 1


def test_figures_of_tiny_models(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(bench_moe, "MODEL", replace(bench_moe.MODEL, layers=1, width=16, context=8))
    monkeypatch.setattr(bench_moe, "SEQUENCES", 4)
    monkeypatch.setattr(bench_moe, "SIDES", {name: bench_moe.SIDES[name] for name in ("dense", "experts_8")})
    monkeypatch.setattr(bench_moe, "PAIRS", bench_moe.PAIRS[:1])
    figures = bench_moe.bench_moe(rounds=3)
    assert figures["tokens_per_step"] == 32
    # a router of 16 x 8; 8 experts of 2 x 16 channels in place of one layer of 4 x 16
    assert figures["experts_8_parameters"] - figures["dense_parameters"] == 16 * 8 + (8 * 2 - 4) * 2 * 16 * 16
    for what in ("step", "gradient"):
        ratio = f"experts_8_over_dense_{what}"
        assert 0 < figures[f"{ratio}_min"] <= figures[ratio] <= figures[f"{ratio}_max"]
        assert figures[f"dense_{what}_ms"] > 0
    assert 3 < figures["dense_loss"] < 5  # log 65 = 4.17: the first steps of training on random tokens
