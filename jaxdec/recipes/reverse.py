"""Encoder-decoder that reverses strings: 2 + 2 layers, width 64, on generated pairs (Vaswani et al. 2017)

    jaxdec train reverse
    jaxdec translate runs/reverse --text transformer
    jaxdec train reverse --data.corpus sort --out runs/sort

Run time: about 20 seconds on two CPU cores. Measured: all of 1,000 unseen strings reversed without a mistake, and a
sweep loss of 0.0015 nats a token, above a floor of zero; sorting, 99.4 % without a mistake and 0.005 nats.

The answer follows from the source, so that the loss can reach zero. Weights start at 0.1, near 1 / sqrt(width): times
sqrt(width), as embeddings are read, that is the size of the sinusoids. From 0.02 the same run needs twice the steps.
"""

from jaxdec.config.run import DataConfig, OptimConfig, RunConfig, TrainConfig
from jaxdec.models.ladder import ENCODER_DECODER

CONFIG = RunConfig(
    model=ENCODER_DECODER,
    data=DataConfig(corpus="reverse"),
    optim=OptimConfig(learning_rate=2e-3, min_learning_rate=2e-4, warmup_steps=100, beta2=0.99),
    train=TrainConfig(steps=1000, tokens_per_step=32 * 16, eval_every=250, eval_batches=10),
)
