"""Learning from preferences by DPO, from a model that answers instructions already

    jaxdec train instruct
    jaxdec train preference --init-from runs/instruct

The embedded pairs prefer friendly answers to curt ones.
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
        steps=100, tokens_per_step=8 * 2 * 256, log_every=5, eval_every=25, eval_batches=5, checkpoint_every=50
    ),
)
