"""A config as tyro's help shows it: the settings of the kinds in use, and for each choice of kinds all there are."""

from __future__ import annotations

import dataclasses
import functools
import inspect
import re
from typing import Annotated, Any, Literal

import tyro

from jaxdec.config.yaml import field_types, is_optional, kind_of, variants

COMMENTED = re.compile(r"    (\w+): .*?  # (.+)")


def shown(value: Any, hint: Any = None) -> Any:
    """`value`, a section of a config, as an instance of a new class for tyro, in which every choice is a plain section
    that begins with its kind. `hint`: the type of the field that holds it."""
    fields: dict[str, tuple[Any, Any]] = {}
    if isinstance(value, tuple):
        for index, item in enumerate(value):
            section = shown(item, hint)
            fields[f"value_{index}"] = (Annotated[type(section), tyro.conf.arg(name=str(index))], section)
        return _instance(fields, "Values that take turns from layer to layer.")
    kinds = (*map(kind_of, variants(hint)), *(("None",) if is_optional(hint) else ()))
    if len(kinds) > 1:
        fields["kind"] = (Literal[kinds], "None" if value is None else kind_of(type(value)))
    if value is None:
        return _instance(fields, "")
    for name, inner in field_types(type(value)).items():
        item = getattr(value, name)
        if variants(inner):
            item = shown(item, inner)
            fields[name] = (type(item), item)
        else:
            fields[name] = (Annotated[inner, tyro.conf.arg(help=comments(type(value)).get(name))], item)
    return _instance(fields, type(value).__doc__ or "")


def _instance(fields: dict[str, tuple[Any, Any]], doc: str) -> Any:
    types = [(name, hint) for name, (hint, _) in fields.items()]
    cls = dataclasses.make_dataclass("Settings", types, namespace={"__doc__": doc}, frozen=True)
    return cls(**{name: value for name, (_, value) in fields.items()})


@functools.cache
def comments(cls: type) -> dict[str, str]:
    """What stands behind each field of a class in its source."""
    found: dict[str, str] = {}
    for base in reversed(cls.__mro__[:-1]):
        matches = map(COMMENTED.match, inspect.getsource(base).splitlines())
        found |= {match[1]: match[2] for match in matches if match}
    return found
