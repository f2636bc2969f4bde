"""Character GPT with experts: `char-gpt` whose every second feed-forward layer is a mixture of 8 experts, top 2.

    jaxdec train moe-gpt
    jaxdec train moe-gpt --data.corpus tinyshakespeare --out runs/moe

The softmax runs over the two chosen scores; each expert has room for 1.25 times an even share in training and drops the
rest; balance loss 0.01, z-loss 0.001. At evaluation nothing is dropped (nanoMoE allows twice an even share): a loss or
a sample with a capacity would depend on what else is in the batch (docs/ladder/moe_gpt.md).

Run time: 60 seconds on two CPU cores. Measured on `playlets`: a sweep loss of 0.233 nats per character, 0.036
above the entropy floor; char-gpt reaches 0.236.
"""

from jaxdec.config.run import DataConfig, OptimConfig, RunConfig, TrainConfig
from jaxdec.models.ladder import MOE_GPT

CONFIG = RunConfig(
    model=MOE_GPT,
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
