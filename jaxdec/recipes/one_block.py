"""One block: attention and feed-forward layer with residuals and norms. Width 64, 4 heads, context 32.

    jaxdec train one-block
    jaxdec train one-block --data.corpus tinyshakespeare --out runs/shakespeare

Run time: about 8 seconds on two CPU cores. Measured: on `playlets` a sweep loss of 0.700 nats per character; on tiny
Shakespeare 2.056 (validation loss by nanoGPT's protocol 2.088; published: 2.09). A learning rate of 1e-2 reaches 0.548
and 1.950 (1.987).
"""

from jaxdec.config.run import DataConfig, OptimConfig, RunConfig, TrainConfig
from jaxdec.models.ladder import ONE_BLOCK

CONFIG = RunConfig(
    model=ONE_BLOCK,
    data=DataConfig(corpus="playlets", sweep_stride=16),
    optim=OptimConfig(
        learning_rate=3e-3,
        min_learning_rate=1e-4,
        warmup_steps=100,
        beta1=0.9,
        beta2=0.99,
        weight_decay=0.1,
        clip_norm=1.0,
    ),
    train=TrainConfig(steps=2000, tokens_per_step=24 * 32, eval_every=250, eval_batches=20),
)
