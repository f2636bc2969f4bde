"""Single head: one causal attention head between embeddings and output head. Width 64, context 32.

    jaxdec train single-head
    jaxdec train single-head --data.corpus tinyshakespeare --out runs/shakespeare

Run time: about 4 seconds on two CPU cores. Measured: on `playlets` a sweep loss of 1.356 nats per character; on tiny
Shakespeare 2.340 (validation loss by nanoGPT's protocol 2.357; published: 2.41).
"""

from jaxdec.config.run import DataConfig, OptimConfig, RunConfig, TrainConfig
from jaxdec.models.ladder import SINGLE_HEAD

CONFIG = RunConfig(
    model=SINGLE_HEAD,
    data=DataConfig(corpus="playlets", sweep_stride=16),
    optim=OptimConfig(
        learning_rate=1e-2,
        min_learning_rate=1e-4,
        warmup_steps=100,
        beta1=0.9,
        beta2=0.99,
        weight_decay=0.1,
        clip_norm=1.0,
    ),
    train=TrainConfig(steps=2000, tokens_per_step=24 * 32, eval_every=250, eval_batches=20),
)
