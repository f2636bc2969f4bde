"""Any instance of a config class, whatever the kinds of its parts, that the classes' own checks accept."""

from __future__ import annotations

import types
import typing
from typing import Any, Literal

from hypothesis import strategies as st

from jaxdec.config.classify import Classify
from jaxdec.config.documents import Separate
from jaxdec.config.model import DecoderConfig, EncoderDecoderConfig, MultiHeadConfig, OneBlockConfig
from jaxdec.config.parts import MLP, MoE
from jaxdec.config.positions import Llama3Scaling, NoPosition, RoPE, YarnScaling
from jaxdec.config.preference import DPO
from jaxdec.config.tokenizers import BPE
from jaxdec.config.yaml import field_types, takes_tuple, variants

LEAVES = {
    int: st.integers(1, 10**6),
    float: st.floats(1e-12, 0.99),
    bool: st.booleans(),
    str: st.text(st.characters(codec="utf-8")),
    type(None): st.none(),
    tuple[str, ...]: st.lists(st.text("ab3._*", min_size=1), min_size=1).map(tuple),  # names of parameters
}


def any_config(cls: type) -> st.SearchStrategy[Any]:
    """Instances of a class, each of its parts of any kind."""
    fields = {name: _values(cls, name, hint) for name, hint in field_types(cls).items()}
    return st.fixed_dictionaries(fields).map(lambda values: cls(**_possible(cls, values)))


def _values(cls: type, name: str, hint: Any) -> st.SearchStrategy[Any]:
    if name in ("factor", "theta", "base"):
        return st.floats(1.5, 1e6)
    if name in ("corpus", "text_field", "label_field") and hint is str:
        return st.text(st.characters(codec="utf-8"), min_size=1)
    if variants(hint):
        one = st.one_of([any_config(variant) for variant in variants(hint)])
        choices = [one]
        if type(None) in typing.get_args(hint):
            choices.append(st.none())
        if takes_tuple(hint):
            choices.append(st.lists(one, min_size=2, max_size=3).map(tuple))
        return st.one_of(choices)
    if typing.get_origin(hint) is Literal:
        return st.sampled_from(typing.get_args(hint))
    if typing.get_origin(hint) in (typing.Union, types.UnionType):
        return st.one_of([_values(cls, name, member) for member in typing.get_args(hint)])
    return LEAVES[hint]


def _possible(cls: type, values: dict[str, Any]) -> dict[str, Any]:
    """`values` with those changed that must fit together."""
    if cls in (DecoderConfig, MultiHeadConfig, OneBlockConfig, EncoderDecoderConfig):
        values |= {"width": values["heads"] * 8}
    if cls is DecoderConfig:
        values |= {"layers": values["layers"] + 2, "kv_heads": values["kv_heads"] and values["heads"]}
        values |= {"head_dim": values["head_dim"] and 2 * values["head_dim"]}
        values |= {"residual": "parallel" if values["branch_norm"] == "post" else values["residual"]}
        values |= {"head_bias": values["head_bias"] and not values["tied_head"]}
        values |= {"classes": values["classes"] and values["classes"] + 1}
        values |= {"qk_norm_over": values["qk_norm_over"] if values["qk_norm"] else "head"}
        if isinstance(documents := values["documents"], Separate) and values["vocab_size"]:
            values |= {"vocab_size": values["vocab_size"] + (documents.start or 0)}
        if isinstance(position := values["position"], tuple):
            values |= {"position": tuple(each if isinstance(each, RoPE) else NoPosition() for each in position)}
    if cls is DPO:
        values["label_smoothing"] /= 2
    if cls is Classify and values["labels"]:
        values["labels"] = tuple(dict.fromkeys([*values["labels"], "first", "second"]))
    if cls is MLP and values["expansion"]:
        values["hidden"] = None
    if cls is MoE:
        values["experts"] += values["top_k"]
        values["shared_gate"] = values["shared_gate"] and values["shared"] is not None
    if cls is RoPE:
        values["channels"] = values["channels"] and 2
    if cls is Llama3Scaling:
        values["high_frequency"] += values["low_frequency"]
    if cls is YarnScaling:
        values["beta_fast"] += values["beta_slow"]
    if cls is BPE:
        values["vocab_size"] += 257
    return values
