"""Character GPT for one GPU: 6 layers, width 384, context 256 on tiny Shakespeare (nanoGPT's GPU configuration).

    jaxdec train baby-gpt --out runs/baby

Run time and loss of the whole run: not measured by this project yet, because it wants a GPU. nanoGPT's README gives
1.4697 as its best validation loss on the way with the same settings.
"""

from jaxdec.config.run import DataConfig, OptimConfig, Precision, RunConfig, TrainConfig
from jaxdec.models.ladder import BABY_GPT

CONFIG = RunConfig(
    model=BABY_GPT,
    data=DataConfig(corpus="tinyshakespeare", sweep_stride=128),
    optim=OptimConfig(
        learning_rate=1e-3,
        min_learning_rate=1e-4,
        warmup_steps=100,
        beta1=0.9,
        beta2=0.99,
        weight_decay=0.1,
        clip_norm=1.0,
    ),
    train=TrainConfig(steps=5000, tokens_per_step=64 * 256, eval_every=250, eval_batches=200),
    precision=Precision(params="float32", compute="bfloat16"),
)
