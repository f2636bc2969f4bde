"""Reinforcement by GRPO on sums modulo 23, from a model that is right now and then (Shao et al. 2024)

jaxdec train reinforce --init-from RUN
"""

from jaxdec.config.model import DecoderConfig
from jaxdec.config.positions import RoPE
from jaxdec.config.reinforce import Reinforce
from jaxdec.config.run import DataConfig, OptimConfig, RunConfig, TrainConfig

CONFIG = RunConfig(
    model=DecoderConfig(layers=1, heads=2, width=64, context=32, position=RoPE()),
    data=DataConfig(corpus="modular", window=8),
    stage=Reinforce(),
    optim=OptimConfig(learning_rate=1e-3, min_learning_rate=1e-3, warmup_steps=0, weight_decay=0.0),
    train=TrainConfig(
        steps=600, tokens_per_step=32 * 16 * 8, steps_per_dispatch=2, eval_every=50, checkpoint_every=200, log_every=10
    ),
)
