"""Character GPT with experts: `char-gpt` whose every second feed-forward layer is a mixture of 8 experts, top 2.

    jaxdec train moe-gpt
    jaxdec train moe-gpt --data.corpus tinyshakespeare --out runs/moe

Router and capacities are nanoMoE's: softmax over the chosen scores, capacity factor 1.25 in training and 2.0 at
evaluation, balance loss 0.01, z-loss 0.001. A capacity factor of 2.0 drops few tokens of a trained model, but what is
dropped depends on the other tokens of the batch: set `eval_capacity_factor` to None for losses and samples that do not
depend on how text is batched (docs/ladder/moe_gpt.md).

Run time: MEASURE-ME on two CPU cores. Measured on `playlets`: a sweep loss of MEASURE-ME nats per character.
"""

from jaxdec.config import DataConfig, OptimConfig, RunConfig, TrainConfig
from jaxdec.layer_config import MLP, MoE
from jaxdec.model_config import ModelConfig

CONFIG = RunConfig(
    model=ModelConfig(
        layers=4,
        heads=4,
        width=128,
        context=64,
        mlp=(MLP(), MoE(experts=8, top_k=2, noisy=False, capacity_factor=1.25, eval_capacity_factor=None)),
        bias=False,
        tied_head=True,
        dropout=0.0,
    ),
    data=DataConfig(corpus="playlets", sweep_stride=32),
    optim=OptimConfig(
        learning_rate=1e-3,
        min_learning_rate=1e-4,
        warmup_steps=100,
        beta1=0.9,
        beta2=0.99,
        weight_decay=0.1,
        clip_norm=1.0,
    ),
    train=TrainConfig(steps=2000, tokens_per_step=12 * 64, eval_every=250, eval_batches=20),
)
