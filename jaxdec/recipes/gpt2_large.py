"""GPT-2 774M: 36 layers, width 1280, context 1024, 50,257 byte pairs (Radford et al. 2019).

    jaxdec train gpt2-large --out runs/gpt2-large

774,030,080 parameters, the published 774M. Not run by this project, because it wants an accelerator.

Tiny Shakespeare has 0.3 million byte pairs: enough to see the size train, not to train it. Give a longer text with
`--data.corpus PATH`. The peak learning rate is what GPT-3 had at this size (Brown et al. 2020, table 2.1), the rest is
nanoGPT's.
"""

from jaxdec.config.run import DataConfig, OptimConfig, Precision, RunConfig, TrainConfig
from jaxdec.config.tokenizers import GPT2 as GPT2Tokens
from jaxdec.models.ladder import GPT2_LARGE

CONFIG = RunConfig(
    model=GPT2_LARGE,
    data=DataConfig(corpus="tinyshakespeare", tokenizer=GPT2Tokens(), sweep_stride=512),
    optim=OptimConfig(
        learning_rate=2.5e-4,
        min_learning_rate=2.5e-5,
        warmup_steps=20,
        beta1=0.9,
        beta2=0.95,
        weight_decay=0.1,
        clip_norm=1.0,
    ),
    train=TrainConfig(steps=200, tokens_per_step=16 * 1024, microbatch=2, eval_every=50, eval_batches=20),
    precision=Precision(params="float32", compute="bfloat16"),
)
