"""A run's settings as YAML: written once beside the run, read back with every key and type checked.

The walk follows the dataclasses of `config/run.py`, so that an error can name the dotted key and its nearest neighbour;
leaf values go through pydantic, which also reads `1e-3` (a string to YAML 1.1). Where a field may hold one of several
variants, its mapping carries `kind: <variant>`, and without it means the first of them; the kind alone,
`position: rope`, is short for a mapping of nothing else. A field that may hold a tuple of variants takes a list.
"""

from __future__ import annotations

import dataclasses
import functools
import types
import typing
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, Union

from jaxdec.config.files import write_text
from jaxdec.config.run import RunConfig
from jaxdec.errors import UserError, nearest

HEADER = "# The settings of this run. Use them again:  jaxdec train --config PATH --out runs/another\n"


def save_config(config: RunConfig, path: Path) -> None:
    """Writes `config` as YAML, whole or not at all."""
    import yaml

    sections = [
        yaml.safe_dump({name: section}, sort_keys=False, default_flow_style=False)
        for name, section in config_to_dict(config).items()
    ]
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_text(path, HEADER + "\n" + "\n".join(sections))


def load_config(path: Path) -> RunConfig:
    """Reads what `save_config` wrote, or a file written by hand: keys left out keep their defaults."""
    import yaml

    try:
        content = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError(f"no config file at {path}: give the path of a run's config.yaml") from None
    except OSError as error:
        raise UserError(f"cannot read the config file {path}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise UserError(f"the config file {path} is not UTF-8 text") from None
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        place = f", line {mark.line + 1}" if mark else ""
        raise UserError(
            f"{path}{place} is not YAML: {getattr(error, 'problem', None) or 'it cannot be parsed'}"
        ) from None
    try:
        return config_from_dict(content)
    except UserError as error:
        raise UserError(f"{path}: {error}") from None


def config_to_dict(config: Any) -> dict[str, Any]:
    """Nested plain values of a config dataclass, ready for YAML and JSON."""
    hints = field_types(type(config))
    return {name: _plain(getattr(config, name), hint) for name, hint in hints.items()}


def config_from_dict(values: Any) -> RunConfig:
    """The inverse of `config_to_dict`. Raises UserError naming a key that is unknown, missing or of the wrong type."""
    return build(RunConfig, values, "")


def differences(a: RunConfig, b: RunConfig) -> list[str]:
    """One line for each leaf in which two configs differ: "train.steps: 2000 -> 4000"."""
    before, after = _flatten(config_to_dict(a)), _flatten(config_to_dict(b))
    missing = object()
    return [
        f"{key}: {_shown(before.get(key, missing), missing)} -> {_shown(after.get(key, missing), missing)}"
        for key in dict.fromkeys((*before, *after))
        if before.get(key, missing) != after.get(key, missing)
    ]


# What the dataclasses say about their fields; the command line uses it too.


@functools.cache
def field_types(cls: type) -> dict[str, Any]:
    """Field name -> resolved type hint, in the order of the class."""
    hints = typing.get_type_hints(cls, include_extras=True)
    return {field.name: hints[field.name] for field in dataclasses.fields(cls)}


def variants(hint: Any) -> tuple[type, ...]:
    """The config classes that a field, or an item of its tuple, may hold: () for a leaf, one for a section, several
    where it holds variants."""
    parts = [part for member in members(hint) for part in (members(_item(member)) if _item(member) else (member,))]
    return tuple(dict.fromkeys(part for part in parts if dataclasses.is_dataclass(part) and isinstance(part, type)))


def kind_of(variant: type) -> str:
    """The name of a variant in files: its `kind`, or else its class name in lower case."""
    return getattr(variant, "kind", variant.__name__.lower())


def class_of(hint: Any, plain: Mapping[str, Any]) -> type:
    """The class of a value that is given as plain data, of those that a field of this type may hold."""
    by_kind = {kind_of(cls): cls for cls in variants(hint)}
    return by_kind[plain.get("kind", next(iter(by_kind)))]


def takes_tuple(hint: Any) -> bool:
    """Whether a field may hold several values that take turns."""
    return any(_item(member) for member in members(hint))


def is_optional(hint: Any) -> bool:
    """Whether a field may be None."""
    return type(None) in members(hint)


def defaults_of(cls: type) -> dict[str, Any]:
    """The plain data of the fields of a config class that have a default."""
    values = {}
    for field in dataclasses.fields(cls):
        if field.default_factory is not dataclasses.MISSING:
            values[field.name] = field.default_factory()
        elif field.default is not dataclasses.MISSING:
            values[field.name] = field.default
    return {name: _plain(value, field_types(cls)[name]) for name, value in values.items()}


def describe(hint: Any) -> str:
    """What a leaf accepts, in words that end "give ...".

    >>> describe(int | None)
    'a whole number or None'
    """
    names = {int: "a whole number", float: "a number", bool: "True or False", str: "text", Path: "a path"}
    parts: list[str] = []
    for member in members(hint):
        if typing.get_origin(member) is Literal:
            parts += [str(choice) for choice in typing.get_args(member)]
        elif member is type(None):
            parts.append("None")
        elif typing.get_origin(member) is tuple:
            parts.append(describe(typing.get_args(member)[0]))
        else:
            parts.append(names.get(member, str(member)))
    return " or ".join(parts)


def read_leaf(hint: Any, value: Any, name: str) -> Any:
    """`value` as the type of a leaf field; text for a tuple holds its items between commas. Raises UserError calling
    it `name`."""
    from pydantic import ValidationError

    if value is None and is_optional(hint):
        return None
    if Path in members(hint) and value == "":  # which would mean the current folder
        raise UserError(f"{name} is empty: give a path")
    if isinstance(value, str) and any(_item(member) for member in members(hint)):
        value = [part.strip() for part in value.split(",")]
    wrong_bool = isinstance(value, bool) and bool not in members(hint)  # pydantic would read true as 1
    try:
        if not wrong_bool:
            return _adapter(hint).validate_python(value)
    except ValidationError:
        pass
    choices = [
        choice for member in members(hint) if typing.get_origin(member) is Literal for choice in typing.get_args(member)
    ]
    named = choices and bool not in members(hint)  # True and False are no names
    hint_text = nearest(str(value), map(str, choices)) if named else f": give {describe(hint)}"
    raise UserError(f"{name} is {value!r}{hint_text}")


@functools.cache
def _adapter(hint: Any) -> Any:
    from pydantic import TypeAdapter

    return TypeAdapter(hint)


def members(hint: Any) -> tuple[Any, ...]:
    """The types of a union, unions inside it opened up; any other hint alone."""
    if typing.get_origin(hint) is typing.Annotated:
        return members(typing.get_args(hint)[0])
    if typing.get_origin(hint) in (Union, types.UnionType):
        return tuple(member for part in typing.get_args(hint) for member in members(part))
    return (hint,)


def _item(hint: Any) -> Any:
    """What the items of a tuple hint are; None for any other hint."""
    return typing.get_args(hint)[0] if typing.get_origin(hint) is tuple else None


def build(hint: Any, value: Any, where: str) -> Any:
    """`value`, plain data, as what the type hint of the field `where` asks for; "" is the whole config."""
    classes = variants(hint)
    if classes and isinstance(value, list | tuple) and takes_tuple(hint):
        return tuple(build(Union[classes], item, f"{where}.{index}") for index, item in enumerate(value))  # noqa: UP007
    if not classes or (value is None and is_optional(hint)):
        return read_leaf(hint, value, where)
    if isinstance(value, str) and len(classes) > 1:
        value = {"kind": value}
    if not isinstance(value, Mapping):
        raise UserError(f"{where or 'the config'} must be a mapping of settings, not {value!r}")
    cls = next(iter(classes))
    if len(classes) > 1 or (where and "kind" in value and hasattr(cls, "kind")):
        cls, value = _pick_variant(classes, value, where)
    hints = field_types(cls)
    prefix = f"{where}." if where else ""
    for key in value:
        if key not in hints:
            raise UserError(f"unknown key {prefix}{key}{nearest(str(key), hints)}")
    for field in dataclasses.fields(cls):
        required = field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
        if required and field.name not in value:
            wanted = "its settings" if variants(hints[field.name]) else describe(hints[field.name])
            raise UserError(f"{prefix}{field.name} is missing: give {wanted}")
    return cls(**{key: build(hints[key], item, prefix + key) for key, item in value.items()})


def _pick_variant(classes: tuple[type, ...], value: Mapping[str, Any], where: str) -> tuple[type, dict[str, Any]]:
    by_kind = {kind_of(cls): cls for cls in classes}
    kind = value.get("kind", kind_of(classes[0]))
    if kind not in by_kind:
        raise UserError(f"{where}.kind is {kind!r}{nearest(str(kind), by_kind)}")
    return by_kind[kind], {key: item for key, item in value.items() if key != "kind"}


def _plain(value: Any, hint: Any) -> Any:
    if isinstance(value, tuple):
        return [_plain(item, hint) for item in value]
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        kind = {"kind": kind_of(type(value))} if len(variants(hint)) > 1 else {}
        return {**kind, **config_to_dict(value)}
    return value


def _flatten(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in values.items():
        if isinstance(value, list):
            value = {str(index): item for index, item in enumerate(value)}
        if isinstance(value, Mapping):
            flat |= _flatten(value, f"{prefix}{key}.")
        else:
            flat[prefix + key] = value
    return flat


def _shown(value: Any, missing: object) -> str:
    return "absent" if value is missing else str(value)
