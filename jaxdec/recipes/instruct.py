"""Instruction finetuning of a small decoder on instructions with checkable answers

jaxdec train instruct
"""

from jaxdec.config.decoder import DecoderConfig
from jaxdec.config.instruct import Instruct
from jaxdec.config.parts import GatedMLP, RMSNorm
from jaxdec.config.positions import RoPE
from jaxdec.config.run import DataConfig, OptimConfig, RunConfig, TrainConfig
from jaxdec.config.tokenizers import BPE

CONFIG = RunConfig(
    model=DecoderConfig(
        layers=4,
        heads=4,
        width=128,
        context=256,
        position=RoPE(),
        norm=RMSNorm(),
        mlp=GatedMLP(hidden=352),
        bias=False,
    ),
    data=DataConfig(corpus="embedded", tokenizer=BPE(vocab_size=1000), validation_fraction=0.05),
    stage=Instruct(),
    optim=OptimConfig(learning_rate=1e-3, min_learning_rate=1e-4, warmup_steps=50, weight_decay=0.1),
    train=TrainConfig(steps=300, tokens_per_step=16 * 256, eval_every=50, eval_batches=5, checkpoint_every=150),
)
