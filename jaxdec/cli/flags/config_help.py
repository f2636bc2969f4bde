"""A config as tyro's help shows it: the settings of the kinds in use, and for each choice of kinds all there are."""

from __future__ import annotations

import dataclasses
from typing import Annotated, Any, Literal

import tyro

from jaxdec.config.setting import help_texts
from jaxdec.config.yaml import field_types, is_optional, kind_of, variants


def shown(value: Any, hint: Any = None, about: str | None = None) -> Any:
    """`value`, a section of a config, as an instance of a new class for tyro, in which every choice is a plain section
    that begins with its kind. `hint` and `about`: the type and the help of the field that holds it."""
    fields: dict[str, tuple[Any, Any]] = {}
    if isinstance(value, tuple):
        for index, item in enumerate(value):
            section = shown(item, hint, about)
            fields[f"value_{index}"] = (Annotated[type(section), tyro.conf.arg(name=str(index))], section)
        return _instance(fields, "Values that take turns from layer to layer.")
    kinds = (*map(kind_of, variants(hint)), *(("None",) if is_optional(hint) else ()))
    if len(kinds) > 1:
        kind = Annotated[Literal[kinds], tyro.conf.arg(help=about)]
        fields["kind"] = (kind, "None" if value is None else kind_of(type(value)))
    if value is None:
        return _instance(fields, "")
    texts = help_texts(type(value))
    for name, inner in field_types(type(value)).items():
        item = getattr(value, name)
        if variants(inner):
            item = shown(item, inner, texts.get(name))
            fields[name] = (type(item), item)
        else:
            fields[name] = (Annotated[inner, tyro.conf.arg(help=texts.get(name))], item)
    return _instance(fields, type(value).__doc__ or "")


def _instance(fields: dict[str, tuple[Any, Any]], doc: str) -> Any:
    types = [(name, hint) for name, (hint, _) in fields.items()]
    cls = dataclasses.make_dataclass("Settings", types, namespace={"__doc__": doc}, frozen=True)
    return cls(**{name: value for name, (_, value) in fields.items()})
