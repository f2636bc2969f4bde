"""A modern decoder: rotary positions, RMSNorm, grouped queries, two SwiGLU experts, its own byte pairs.

    jaxdec train modern

5 layers, width 384, 6 query and 2 key/value heads, 2 experts of 1536 channels behind a linear router, vocabulary
10,000, context 256, dropout 0.1. Of two experts the router picks one and weighs it by its probability.

Run time: about 4 minutes on two CPU cores (0.67 s a step while nothing else runs). Measured on tiny Shakespeare: after
300 steps a sweep loss of 5.15 nats per byte pair (training 4.64). 2.2 epochs of 1 MB are far too little text for 23.5
million parameters; the run shows that all parts train together.
"""

from jaxdec.config.run import DataConfig, OptimConfig, RunConfig, TrainConfig
from jaxdec.config.tokenizers import BPE
from jaxdec.models.ladder import MODERN

CONFIG = RunConfig(
    model=MODERN,
    data=DataConfig(corpus="tinyshakespeare", tokenizer=BPE(vocab_size=10_000), sweep_stride=128),
    optim=OptimConfig(
        learning_rate=1e-3,
        min_learning_rate=1e-4,
        warmup_steps=50,
        beta1=0.9,
        beta2=0.95,
        weight_decay=0.1,
        clip_norm=1.0,
    ),
    train=TrainConfig(steps=300, tokens_per_step=8 * 256, eval_every=100, eval_batches=20),
)
