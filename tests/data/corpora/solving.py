"""Short trainings on corpora with answers, as a run does them, on one device."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from jaxdec.config.model import DecoderConfig
from jaxdec.config.parts import MLP
from jaxdec.config.positions import RoPE
from jaxdec.config.run import DataConfig, MeshConfig, OptimConfig, RunConfig, TrainConfig
from jaxdec.stages.run import train


def solve(corpus: str, model: dict[str, Any], *, line: int, batch: int, steps: int, run_dir: Path) -> dict[str, Any]:
    """The summary of a short run. `line`: the characters that an answer depends on; all are in view of every target."""
    config = DecoderConfig(position=RoPE(), init_std=0.1, **{"heads": 2, "mlp": MLP(), **model})
    run = RunConfig(
        model=config,
        data=DataConfig(corpus, validation_fraction=0.01, sweep_stride=config.context - line),
        optim=OptimConfig(learning_rate=3e-3, min_learning_rate=3e-4, warmup_steps=30, weight_decay=0.0),
        train=TrainConfig(
            steps=steps,
            tokens_per_step=batch * config.context,
            steps_per_dispatch=100,
            log_every=100,
            eval_every=steps,
            eval_batches=1,
            checkpoint_every=steps,
        ),
        mesh=MeshConfig(data=1),
    )
    return train(run, run_dir)
