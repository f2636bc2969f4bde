"""Character GPT for a CPU: 4 layers, width 128, context 64 (nanoGPT's CPU configuration).

    jaxdec train char-gpt
    jaxdec train char-gpt --data.corpus tinyshakespeare --out runs/shakespeare

Run time: about 40 seconds on two CPU cores. Measured (docs/results.md): on `playlets` a sweep loss of 0.236 nats per
character, 0.038 above the entropy floor; on tiny Shakespeare a validation loss of 1.878 by nanoGPT's protocol, whose
README gives 1.88 for the same settings.
"""

from jaxdec.config.run import DataConfig, OptimConfig, RunConfig, TrainConfig
from jaxdec.models.ladder import CHAR_GPT

CONFIG = RunConfig(
    model=CHAR_GPT,
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
