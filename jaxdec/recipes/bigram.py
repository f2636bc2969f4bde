"""Bigram: the next character from the previous one alone. Width 32, context 8.

    jaxdec train bigram
    jaxdec train bigram --data.corpus tinyshakespeare --out runs/shakespeare

Run time: about 2 seconds on two CPU cores. Measured: on `playlets` a sweep loss of 2.005 nats per character, where a
table of counts of the same text has 2.003; on tiny Shakespeare 2.483 (validation loss by nanoGPT's protocol 2.496;
published for a bigram: 2.88, trained less); on `markov:1`, where there is nothing else to know, 0.002 above the floor.
"""

from jaxdec.config.run import DataConfig, OptimConfig, RunConfig, TrainConfig
from jaxdec.models.ladder import BIGRAM

CONFIG = RunConfig(
    model=BIGRAM,
    data=DataConfig(corpus="playlets"),
    optim=OptimConfig(
        learning_rate=1e-2,
        min_learning_rate=1e-4,
        warmup_steps=100,
        beta1=0.9,
        beta2=0.99,
        weight_decay=0.0,  # it would hold up the logits of pairs that never occur
        clip_norm=1.0,
    ),
    train=TrainConfig(steps=2000, tokens_per_step=96 * 8, eval_every=250, eval_batches=20),
)
