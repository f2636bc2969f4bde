"""Learning from preferences by DPO, from a model that answers instructions already

    jaxdec train instruct
    jaxdec train preference --init-from runs/instruct

The embedded pairs prefer friendly answers to curt ones. Measured after `jaxdec train instruct --train.steps 150`: on 23
unseen pairs a loss of 0.065, a margin of 2.90, and 23 of 23 pairs won. Run time: 7 minutes on two CPU cores that eight
other programs shared.
"""

from dataclasses import replace

from jaxdec.config.preference import Preference
from jaxdec.config.run import DataConfig, OptimConfig, RunConfig, TrainConfig
from jaxdec.recipes.instruct import CONFIG as INSTRUCT

CONFIG = RunConfig(
    model=replace(INSTRUCT.model, dropout=0.0),  # type: ignore[call-arg]
    data=DataConfig(corpus="embedded", tokenizer=INSTRUCT.data.tokenizer),
    stage=Preference(),
    optim=OptimConfig(learning_rate=1e-4, min_learning_rate=1e-5, warmup_steps=10, weight_decay=0.0),
    train=TrainConfig(
        steps=60, tokens_per_step=8 * 2 * 256, log_every=5, eval_every=30, eval_batches=5, checkpoint_every=30
    ),
)
