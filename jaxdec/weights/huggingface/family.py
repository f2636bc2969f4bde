"""All that is known about a family of decoders: one value of `Family`, made in the family's own file."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

from jaxdec.config.model import DecoderConfig
from jaxdec.weights.huggingface.settings import HFSettings
from jaxdec.weights.huggingface.tables import Table

Part = TypeVar("Part")


@dataclass(frozen=True)
class TinyConfig:
    """A config small enough to compare in seconds; `shows` says which part of the family it brings out."""

    shows: str
    settings: Mapping[str, Any]


@dataclass(frozen=True)
class Refused:
    """A value of a setting that our decoder has no part for, and why."""

    setting: str
    value: Any
    why: str


def nothing(config: DecoderConfig) -> Table:
    """A table without lines."""
    return {}


@dataclass(frozen=True)
class Family:
    """All that is particular to one `model_type` of transformers.

    `read` gives the config that computes the same function, and raises UserError, naming the setting, where our decoder
    has no such part. `write` gives the settings of a config; it may leave out what it cannot say, since the registry
    reads back what it wrote and refuses what is not the same. `parameters` are the names of `named_parameters()`,
    `files` those that `save_pretrained` writes instead, `older` those of files of other origin; `taps` are the modules
    that return the same.
    """

    model_type: str
    architecture: str  # the class that transformers makes of it
    summary: str  # in Markdown, for docs/huggingface.md: which of our parts it has
    read: Callable[[HFSettings], DecoderConfig]
    write: Callable[[DecoderConfig], dict[str, Any]]
    parameters: Callable[[DecoderConfig], Table]
    taps: Callable[[DecoderConfig], Table]
    defaults: Mapping[str, Any]  # what transformers assumes where a config leaves a setting out
    tiny: Mapping[str, TinyConfig]  # by the name of the pair that the checker makes of it
    files: Callable[[DecoderConfig], Table] = nothing
    older: Callable[[DecoderConfig], Table] = nothing
    left_out: tuple[str, ...] = ()  # what of the parameters is never read
    refused: tuple[Refused, ...] = ()
    ignored: Mapping[str, str] = field(default_factory=dict)  # settings without effect in transformers, and why


class Inexpressible(Exception):
    """A family has no setting for a part of a config: `what` names the field and its value."""

    def __init__(self, field: str, value: Any) -> None:
        super().__init__(f"model.{field} = {value!r}")


def need(value: Any, kind: type[Part], field: str) -> Part:
    """`value` where it is of this kind. Raises Inexpressible with the config's field that holds it."""
    if not isinstance(value, kind):
        raise Inexpressible(field, value)
    return value
