"""Pairs of the later stages: a tiny decoder each, trained by the stage's objective on batches of its kind."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

from jaxdec.config.classify import Classify
from jaxdec.config.documents import Separate
from jaxdec.config.instruct import Instruct, Packed
from jaxdec.config.preference import DPO, Preference
from jaxdec.config.reinforce import Reinforce
from jaxdec.config.trainable import LoRA
from jaxdec.parity.pair import Pair
from jaxdec.parity.pairs.pairs import pair_of_run
from jaxdec.parity.pairs.run import TwinRun, twin_run
from jaxdec.parity.pairs.variants import GPT


def lora_run() -> TwinRun:
    """Adapters beside every linear layer. With its first weights A has no gradient in the first step, as B is zero, and
    weight decay alone moves it: a warm-up this short makes that more than the rounding of a weight."""
    run = twin_run(replace(GPT, layers=1))
    optim = replace(run.config.optim, warmup_steps=1)
    return TwinRun(replace(run.config, trainable=LoRA(rank=3, alpha=5.0), optim=optim))


RUNS: Mapping[str, Callable[[], TwinRun]] = {  # the names are those in `jaxdec.parity.spec.LATER`
    "classify": lambda: twin_run(
        replace(GPT, layers=1, classes=3), stage=Classify(labels=("first", "second", "third"))
    ),
    "instruct": lambda: twin_run(
        replace(GPT, layers=1, context=24, documents=Separate(start=5)), stage=Instruct(batching=Packed())
    ),
    "preference": lambda: twin_run(replace(GPT, layers=1), stage=Preference(DPO(beta=0.3, label_smoothing=0.1))),
    "lora": lora_run,
    # Generic weights make logits of size ten: this temperature brings ratios, and the divergence, to the size of one.
    "reinforce": lambda: twin_run(replace(GPT, layers=1), stage=Reinforce(temperature=8.0)),
}


def later_pair(name: str) -> Pair:
    """The pair of a later stage by its name."""
    return pair_of_run(name, RUNS[name](), notes=("a tiny decoder of width 32",))
