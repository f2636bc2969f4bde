"""Spam or not: a small GPT that tells text messages apart, on the SMS Spam Collection."""

from jaxdec.config.classify import Classify
from jaxdec.config.model import DecoderConfig
from jaxdec.config.run import DataConfig, OptimConfig, RunConfig, TrainConfig
from jaxdec.config.tokenizers import BPE

CONFIG = RunConfig(
    model=DecoderConfig(layers=4, heads=4, width=128, context=128, dropout=0.1),
    data=DataConfig(corpus="sms_spam", tokenizer=BPE(1024), window=96),
    stage=Classify(),
    optim=OptimConfig(learning_rate=5e-4, min_learning_rate=5e-5, warmup_steps=20, weight_decay=0.1),
    train=TrainConfig(steps=200, tokens_per_step=32 * 96, eval_every=50, eval_batches=5, checkpoint_every=200),
)
