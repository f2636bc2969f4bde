"""The tiny models and their twins, each pair compared by one `Sides` in a process."""

from __future__ import annotations

import functools

from jaxdec.config.model import AnyModel
from jaxdec.parity.pair import Pair
from jaxdec.parity.pairs import encoder_decoders
from jaxdec.parity.pairs.jax_twin import JaxTwin
from jaxdec.parity.pairs.pairs import pair_of_model
from jaxdec.parity.pairs.run import TwinRun, twin_run
from jaxdec.parity.pairs.torch_twin import TorchTwin
from jaxdec.parity.setting import Setting
from jaxdec.parity.sides.stages import Sides
from parity_tests.mutants import tiny
from tests.variants import DENSE, GPT, RUNGS

DROPS, SHORT, NORM_BEFORE = "experts that drop", "window below the context", "translation, norm before"
TRANSLATION = (*tiny.TRANSLATION, NORM_BEFORE)
TWINS: dict[str, AnyModel] = {**tiny.MODELS, SHORT: GPT, NORM_BEFORE: encoder_decoders.MODELS["norm before"]}
WINDOWS = {SHORT: 11, **dict.fromkeys(TRANSLATION, tiny.TARGETS)}
INIT, GENERIC = Setting("init"), Setting("generic")

__all__ = ["DENSE", "DROPS", "GENERIC", "INIT", "RUNGS", "SHORT", "TRANSLATION", "TWINS"]
__all__ += ["halves", "pair", "run", "sides"]


def run(name: str) -> TwinRun:
    return twin_run(TWINS[name], window=WINDOWS.get(name))


def halves(name: str) -> tuple[JaxTwin, TorchTwin]:
    """Anew, for a test that changes what they run."""
    return JaxTwin(run(name)), TorchTwin(run(name))


def pair(name: str) -> Pair:
    return pair_of_model(name, TWINS[name], window=WINDOWS.get(name))


@functools.cache
def sides(name: str) -> Sides:
    return Sides(pair(name))
