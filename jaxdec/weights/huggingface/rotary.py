"""Rotary positions: `rope_parameters` (transformers 5), or `rope_theta` and `rope_scaling` (before), and back."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from jaxdec.config.model import DecoderConfig
from jaxdec.config.parts import Local
from jaxdec.config.positions import LinearScaling, Llama3Scaling, NoPosition, RoPE, YarnScaling
from jaxdec.errors import UserError
from jaxdec.weights.huggingface.family import Inexpressible, Refused, need
from jaxdec.weights.huggingface.layers import shortest
from jaxdec.weights.huggingface.settings import HFSettings

REFUSED = (
    Refused("partial_rotary_factor", 0.5, "all channels of a head turn"),
    *(
        Refused(
            "rope_parameters", {"rope_type": kind, "factor": 2.0}, "the angles of a position depend on nothing else"
        )
        for kind in ("dynamic", "longrope")
    ),
    Refused("rope_parameters", {"full_attention": {"rope_type": "default"}}, "all layers turn by the same angles"),
)
REFUSED_BY_TYPE = (  # of families whose kinds of layers turn by angles of their own
    REFUSED[0],
    Refused(
        "rope_parameters", {"rope_type": "linear", "factor": 2.0}, "transformers looks for the kind of layer first"
    ),
    Refused("rope_scaling", {"type": "linear", "factor": 2.0}, "transformers scales nothing without `rope_type`"),
    Refused(
        "rope_parameters",
        {"full_attention": {"rope_type": "yarn", "factor": 2.0, "truncate": False}},
        "transformers reads it for all kinds of layers at once",
    ),
)
FULL, LOCAL = "full_attention", "sliding_attention"


def read_rope(settings: HFSettings) -> RoPE:
    """Raises UserError where our positions have no such scaling, or a value that it needs is missing."""
    given = settings("rope_scaling") or settings("rope_parameters") or {}
    if any(isinstance(value, Mapping) for value in given.values()):
        raise settings.unsupported("rope_parameters", given, "all layers turn by the same angles")
    return _rope(settings, given)


def read_by_type(settings: HFSettings, local: Sequence[bool], local_theta: float) -> Any:
    """Rotary positions layer by layer, as the shortest tuple that repeats, where local layers turn by other angles than
    full ones: `local` says which they are. Older files scale the full layers alone (`rope_scaling`), whose base is
    `rope_theta`; `local_theta` is that of the others.

    Raises UserError as `read_rope` does, and where transformers would pass over what is given.
    """
    given, scaling = settings("rope_parameters") or {}, settings("rope_scaling") or {}
    if set(given) - {FULL, LOCAL}:
        raise settings.unsupported("rope_parameters", given, f"give {FULL} and {LOCAL}, each with its own")
    if scaling and "rope_type" not in scaling:
        raise settings.unsupported("rope_scaling", scaling, "transformers scales nothing without `rope_type`")
    full = {**(given.get(FULL) or {}), **scaling}
    found = {False: full, True: {"rope_theta": local_theta, **(given.get(LOCAL) or {})}}
    settings = settings.but(original_max_position_embeddings=None)  # not read here
    for each in found.values():
        if each.get("truncate", True) is not True:
            raise settings.unsupported("rope_parameters", given, "`truncate` is not read by kind of layer")
    ropes = {is_local: _rope(settings, each) for is_local, each in found.items()}
    return shortest([ropes[is_local] for is_local in local])


def _rope(settings: HFSettings, given: Mapping[str, Any]) -> RoPE:
    partial = given.get("partial_rotary_factor", settings("partial_rotary_factor"))
    if partial not in (None, 1):
        raise settings.unsupported("partial_rotary_factor", partial, "all channels of a head turn")
    kind = given.get("rope_type", given.get("type", "default"))
    makers = {"default": lambda *_: None, "linear": _linear, "llama3": _llama3, "yarn": _yarn}
    make = settings.choice("rope_type", kind, makers)
    try:
        scaling = make(settings, given)
    except KeyError as error:
        raise UserError(f"the {settings.model_type} config has rope_type {kind} without {error}") from None
    return RoPE(theta=float(given.get("rope_theta") or settings.number("rope_theta")), scaling=scaling)


def write_rope(position: Any) -> dict[str, Any]:
    """The settings of rotary positions, in both forms, so that every version of transformers reads them."""
    if not isinstance(position, RoPE):
        raise Inexpressible("position", position)
    scaling: dict[str, Any] | None
    match position.scaling:
        case None:
            scaling = None
        case LinearScaling(factor):
            scaling = {"rope_type": "linear", "factor": factor}
        case Llama3Scaling() as llama3:
            scaling = {
                "rope_type": "llama3",
                "factor": llama3.factor,
                "low_freq_factor": llama3.low_frequency,
                "high_freq_factor": llama3.high_frequency,
                "original_max_position_embeddings": llama3.original_context,
            }
        case YarnScaling() as yarn:
            scaling = {
                "rope_type": "yarn",
                "factor": yarn.factor,
                "beta_fast": yarn.beta_fast,
                "beta_slow": yarn.beta_slow,
                "truncate": yarn.truncate,
                "original_max_position_embeddings": yarn.original_context,
            }
            if yarn.attention_factor is not None:
                scaling["attention_factor"] = yarn.attention_factor
        case _:
            raise Inexpressible("position.scaling", position.scaling)
    return {
        "rope_parameters": {"rope_type": "default", "rope_theta": position.theta, **(scaling or {})},
        "rope_theta": position.theta,
        "rope_scaling": scaling,
    }


def first_rope(config: DecoderConfig, default: RoPE) -> RoPE:
    """The positions of the first layer that has rotary ones; `default` where no layer has any. Raises Inexpressible for
    positions of the embedding."""
    found = [config.position_of(layer) for layer in range(config.layers)]
    found = [each for each in found if not isinstance(each, NoPosition)]
    return need(found[0], RoPE, "position") if found else default


def positions_by_type(config: DecoderConfig, full: RoPE, local: RoPE) -> tuple[RoPE, RoPE]:
    """The positions of the first full layer and of the first local one; those given where there is none. Whether the
    others fit is seen when the settings are read back. Raises Inexpressible for positions of another kind."""
    found = {False: full, True: local}
    for layer in reversed(range(config.layers)):
        is_local = isinstance(config.attention_of(layer), Local)
        found[is_local] = need(config.position_of(layer), RoPE, "position")
    return found[False], found[True]


def write_by_type(full: RoPE, local: RoPE) -> dict[str, Any]:
    """The settings of full layers and of local ones; those of earlier versions know the full ones' alone."""
    by_type = {FULL: write_rope(full), LOCAL: write_rope(local)}
    parameters = {kind: dict(written["rope_parameters"]) for kind, written in by_type.items()}
    for each in parameters.values():
        if each.get("truncate"):
            del each["truncate"]  # transformers does not read it here
    return {**by_type[FULL], "rope_parameters": parameters}


def _linear(settings: HFSettings, given: Mapping[str, Any]) -> LinearScaling:
    return LinearScaling(factor=given["factor"])


def _llama3(settings: HFSettings, given: Mapping[str, Any]) -> Llama3Scaling:
    return Llama3Scaling(
        original_context=_original_context(settings, given),
        factor=given["factor"],
        low_frequency=given["low_freq_factor"],
        high_frequency=given["high_freq_factor"],
    )


def _yarn(settings: HFSettings, given: Mapping[str, Any]) -> YarnScaling:
    original = _original_context(settings, given)
    factor = given.get("factor") or settings.whole("max_position_embeddings") / original
    attention_factor, over, under = (given.get(name) for name in ("attention_factor", "mscale", "mscale_all_dim"))
    if attention_factor is None and over and under:  # DeepSeek's two temperatures, of which the quotient is left
        attention_factor = (0.1 * over * math.log(factor) + 1) / (0.1 * under * math.log(factor) + 1)
    return YarnScaling(
        original_context=original,
        factor=factor,
        beta_fast=given.get("beta_fast") or 32.0,
        beta_slow=given.get("beta_slow") or 1.0,
        attention_factor=attention_factor,
        truncate=given.get("truncate", True),
    )


def _original_context(settings: HFSettings, given: Mapping[str, Any]) -> int:
    return (
        settings("original_max_position_embeddings")
        or given.get("original_max_position_embeddings")
        or settings.whole("max_position_embeddings")
    )
