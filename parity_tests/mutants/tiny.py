"""The tiny pairs that mutants are applied to: each has the part that its mutants change."""

from __future__ import annotations

from dataclasses import replace

from jaxdec.config.model import AnyModel
from jaxdec.config.parts import MLP, GatedMLP, MoE
from jaxdec.parity.pair import Pair
from jaxdec.parity.pairs import encoder_decoders, variants
from jaxdec.parity.pairs.variants import GPT

# Capacities that drop, and that rounding matters to: 64 tokens of 2 choices share 4 experts, an even share of 32
PART = MoE(
    experts=4, top_k=2, expert=GatedMLP(24), shared=MLP(expansion=1), capacity_factor=0.66, eval_capacity_factor=0.91
)
DROPS = "experts that drop"
TRANSLATION = {"translation": encoder_decoders.PAPER, "translation, two layers": encoder_decoders.DEEP}
MODELS: dict[str, AnyModel] = {
    **variants.MODELS,
    DROPS: replace(GPT, mlp=replace(PART, gates="all")),
    **TRANSLATION,
}
TARGETS = 9  # tokens of a target in translation: another number than the source's


def tiny_pair(name: str) -> Pair:
    """Where experts drop tokens, what a batch continues depends on who else is in it: there nothing is continued."""
    from jaxdec.parity.pairs.pairs import pair_of_model

    pair = pair_of_model(name, MODELS[name], window=TARGETS if name in TRANSLATION else None)
    if name != DROPS:
        return pair
    stages = {stage: function for stage, function in pair.stages.items() if stage != "sampling"}
    return replace(pair, continues=False, stages=stages)
