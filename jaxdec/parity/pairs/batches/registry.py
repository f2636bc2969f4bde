"""Which batches a stage's pair is compared on. A stage without a line here has random tokens."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from jaxdec.config.run import RunConfig
from jaxdec.parity.pairs.batches import classify, instruct, preference, reinforce
from jaxdec.parity.setting import PairBatch

BATCHES: Mapping[str, Callable[[RunConfig, int, int], list[PairBatch]]] = {  # (config, seed, count) by kind of stage
    "classify": classify.batches,
    "instruct": instruct.batches,
    "preference": preference.batches,
    "reinforce": reinforce.batches,
}
