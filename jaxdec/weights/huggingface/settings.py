"""Reading a Hugging Face config: what all families have in common, and one line for what is not supported."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

from jaxdec.config.parts import Activation, Full, Local, Pattern
from jaxdec.config.positions import LinearScaling, Llama3Scaling, RoPE, YarnScaling
from jaxdec.errors import UserError, nearest

ACTIVATIONS: Mapping[str, Activation] = {
    "gelu_new": "gelu_tanh",
    "gelu_pytorch_tanh": "gelu_tanh",
    "gelu": "gelu",
    "quick_gelu": "gelu_sigmoid",
    "relu": "relu",
    "silu": "silu",
}


class Settings:
    """The values of a config by name: of a transformers config object, or of a dict as in config.json."""

    def __init__(self, hf_config: Any) -> None:
        values = hf_config if isinstance(hf_config, Mapping) else hf_config.to_dict()
        self.values: Mapping[str, Any] = values
        self.model_type: str = values.get("model_type") or ""

    def __call__(self, name: str, default: Any = None) -> Any:
        """The value of `name`; the default where the config leaves it out or has None there."""
        value = self.values.get(name)
        return default if value is None else value

    def whole(self, name: str) -> int:
        """A size that every config of the family has. Raises UserError where it is missing."""
        value = self(name)
        if not isinstance(value, int):
            raise UserError(f"the {self.model_type} config has {name} = {value!r}: a whole number is needed")
        return value

    def only(self, **wanted: Any) -> None:
        """Raises UserError unless each of these settings has this value, or is left out."""
        for name, value in wanted.items():
            if self(name, value) != value:
                raise self.unsupported(name, self(name), f"the decoder has {value!r} alone")

    def unsupported(self, name: str, value: Any, instead: str) -> UserError:
        return UserError(f"a {self.model_type} model with {name} = {value!r} is not supported: {instead}")

    def choice(self, name: str, value: str, known: Mapping[str, Any]) -> Any:
        """What `known` has for a value; raises UserError with the nearest one that it has."""
        if value not in known:
            raise self.unsupported(name, value, f"the decoder does not have it{nearest(value, known)}")
        return known[value]


def rope_of(settings: Settings, theta: float) -> RoPE:
    """Rotary positions, from `rope_parameters` (transformers 5) or `rope_theta` and `rope_scaling` (before); `theta` is
    the family's default."""
    given = settings("rope_scaling", settings("rope_parameters", {}))
    if any(isinstance(value, Mapping) for value in given.values()):
        raise settings.unsupported("rope_parameters", given, "all layers turn by the same angles")
    partial = given.get("partial_rotary_factor", settings("partial_rotary_factor", 1.0))
    if partial != 1:
        raise settings.unsupported("partial_rotary_factor", partial, "all channels of a head are turned")
    kind = given.get("rope_type", given.get("type", "default"))
    makers = {"default": lambda *_: None, "linear": _linear, "llama3": _llama3, "yarn": _yarn}
    make = settings.choice("rope_type", kind, makers)
    try:
        scaling = make(settings, given)
    except KeyError as error:
        raise UserError(f"the {settings.model_type} config has rope_type {kind} without {error}") from None
    return RoPE(theta=float(given.get("rope_theta") or settings("rope_theta", theta)), scaling=scaling)


def _linear(settings: Settings, given: Mapping[str, Any]) -> LinearScaling:
    return LinearScaling(factor=given["factor"])


def _llama3(settings: Settings, given: Mapping[str, Any]) -> Llama3Scaling:
    return Llama3Scaling(
        original_context=_original_context(settings, given),
        factor=given["factor"],
        low_frequency=given["low_freq_factor"],
        high_frequency=given["high_freq_factor"],
    )


def _yarn(settings: Settings, given: Mapping[str, Any]) -> YarnScaling:
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


def _original_context(settings: Settings, given: Mapping[str, Any]) -> int:
    return settings(
        "original_max_position_embeddings",
        given.get("original_max_position_embeddings") or settings("max_position_embeddings"),
    )


def patterns_of(settings: Settings, local: Iterable[bool], **parts: Any) -> Pattern | tuple[Pattern, ...]:
    """Attention layer by layer, as the shortest tuple that repeats: `local` says where the sliding window is, unless
    the config has `layer_types`; `parts` are fields of every pattern."""
    kinds = {"full_attention": False, "sliding_attention": True}
    if settings("layer_types") is not None:
        local = [settings.choice("layer_types", kind, kinds) for kind in settings("layer_types")]
    window = settings("sliding_window")
    return shortest([Local(window=window, **parts) if each and window else Full(**parts) for each in local])


def shortest(layers: list[Any]) -> Any:
    """The shortest tuple that repeats to these values; one value where all are the same."""
    period = next(n for n in range(1, len(layers) + 1) if all(a == b for a, b in zip(layers, layers[n:], strict=False)))
    return layers[0] if period == 1 else tuple(layers[:period])
