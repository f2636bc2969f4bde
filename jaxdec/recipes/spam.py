"""Spam or not: a small GPT that tells text messages apart, on the SMS Spam Collection."""

from jaxdec.config.classify import Classify
from jaxdec.config.model import DecoderConfig
from jaxdec.config.run import DataConfig, OptimConfig, RunConfig, TrainConfig
from jaxdec.config.tokenizers import BPE

CONFIG = RunConfig(
    model=DecoderConfig(layers=2, heads=4, width=96, context=96, dropout=0.1),
    data=DataConfig(corpus="sms_spam", tokenizer=BPE(1024)),
    stage=Classify(),
    optim=OptimConfig(learning_rate=5e-4, min_learning_rate=5e-5, warmup_steps=20),
    train=TrainConfig(
        steps=200, tokens_per_step=16 * 96, log_every=10, eval_every=50, eval_batches=10, checkpoint_every=200
    ),
)
