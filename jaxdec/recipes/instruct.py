"""Instruction finetuning: a decoder of 0.9 million parameters learns to answer, on embedded data

    jaxdec train instruct
    jaxdec train instruct --data.corpus instruct --init-from RUN --out runs/instructed

Run time: 84 s of processor time, evaluation and responses included. Measured: on the test split a loss of 3.54 nats
per target of a response (a blind guess among 1,000 tokens: 6.9), ROUGE-L 0.24, 1 of 45 responses exact. 383 entries
teach fresh weights the form of answers, not what words mean. 50 entries of the book are learnt by heart, all exact:

    jaxdec train instruct --data.corpus instruct --data.limit-documents 59 --train.steps 250 \\
        --optim.learning-rate 2e-3 --train.eval-every 50 --out runs/fifty
    jaxdec respond runs/fifty --split training

On all entries, from a small decoder that has read tiny Shakespeare, the validation loss falls from 5.74 to 3.65
(docs/stages/instruct.md). Published for GPT-2 with 355 million parameters on `instruct` (Raschka, chapter 7):
the validation loss falls from 3.76 to 0.657.
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
