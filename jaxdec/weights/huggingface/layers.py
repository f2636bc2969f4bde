"""What differs from layer to layer: sliding windows, by `layer_types` or by a rule of the family, and back."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from jaxdec.config.model import DecoderConfig
from jaxdec.config.parts import Full, Local
from jaxdec.weights.huggingface.family import Refused
from jaxdec.weights.huggingface.settings import HFSettings

KINDS = {"full_attention": False, "sliding_attention": True}
REFUSED = (
    Refused("layer_types", ["chunked_attention"] * 2, "a layer sees all that is before it, or a sliding window of it"),
)
NO_WINDOW = Refused("sliding_window", None, "some layers have a window, and its size is not known")
IGNORED = {"layer_types": "the modules of this family do not read it"}


def windows(settings: HFSettings, local: Iterable[bool], **parts: Any) -> Any:
    """Attention layer by layer, as the shortest tuple that repeats: `local` says which layers have the sliding window,
    where there is one; `parts` are fields of every pattern."""
    window = settings("sliding_window")
    return shortest([Local(window=window, **parts) if each and window else Full(**parts) for each in local])


def local_by_type(settings: HFSettings, default: Sequence[bool]) -> Sequence[bool]:
    """Which layers are local in a family that obeys `layer_types`; `default` says what holds without them.

    Raises UserError for other kinds of layers, or another number of them, and for a window of which no size is given.
    """
    kinds, count = settings("layer_types"), settings.whole("num_hidden_layers")
    if kinds is not None and len(kinds) != count:
        raise settings.unsupported("layer_types", kinds, f"there are {count} layers")
    local = default if kinds is None else [settings.choice("layer_types", kind, KINDS) for kind in kinds]
    if any(local) and not settings("sliding_window"):
        raise settings.unsupported("sliding_window", settings("sliding_window"), "some layers have a window")
    return local


def windows_by_type(settings: HFSettings, default: Sequence[bool], **parts: Any) -> Any:
    """The windows of a family that obeys `layer_types`. Raises UserError as `local_by_type` does."""
    return windows(settings, local_by_type(settings, default), **parts)


def write_window(config: DecoderConfig) -> dict[str, Any]:
    """The window of the first layer that has one; whether the others fit is seen when the settings are read back."""
    found = (config.attention_of(layer) for layer in range(config.layers))
    return {"sliding_window": next((each.window for each in found if isinstance(each, Local)), None)}


def write_types(config: DecoderConfig) -> dict[str, Any]:
    """The window, and `layer_types`."""
    local = [isinstance(config.attention_of(layer), Local) for layer in range(config.layers)]
    names = {is_local: name for name, is_local in KINDS.items()}
    return {**write_window(config), "layer_types": [names[each] for each in local]}


def shortest(layers: Sequence[Any]) -> Any:
    """The shortest tuple that repeats to these values; one value where all are the same."""
    period = next(n for n in range(1, len(layers) + 1) if all(a == b for a, b in zip(layers, layers[n:], strict=False)))
    return layers[0] if period == 1 else tuple(layers[:period])
