"""GPT-2 124M: 12 layers, width 768, context 1024, 50,257 byte pairs (Radford et al. 2019).

    jaxdec train gpt2 --out runs/gpt2

124,439,808 parameters, the published 124M. Not run as a whole by this project, because it wants an accelerator; one
step of four windows of 128 tokens in float32 takes 2.2 seconds on two CPU cores.

Tiny Shakespeare has 0.3 million byte pairs: enough to see the size train, not to train it. Give a longer text with
`--data.corpus PATH`. The peak learning rate is what GPT-3 had at this size (Brown et al. 2020, table 2.1), the rest is
nanoGPT's.
"""

from jaxdec.config.run import DataConfig, OptimConfig, Precision, RunConfig, TrainConfig
from jaxdec.config.tokenizers import GPT2 as GPT2Tokens
from jaxdec.models.ladder import GPT2

CONFIG = RunConfig(
    model=GPT2,
    data=DataConfig(corpus="tinyshakespeare", tokenizer=GPT2Tokens(), sweep_stride=512),
    optim=OptimConfig(
        learning_rate=6e-4,
        min_learning_rate=6e-5,
        warmup_steps=20,
        beta1=0.9,
        beta2=0.95,
        weight_decay=0.1,
        clip_norm=1.0,
    ),
    train=TrainConfig(steps=200, tokens_per_step=16 * 1024, microbatch=8, eval_every=50, eval_batches=20),
    precision=Precision(params="float32", compute="bfloat16"),
)
