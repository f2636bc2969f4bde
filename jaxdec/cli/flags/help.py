"""The page of `jaxdec COMMAND --help`: the command's options, and every setting of the kinds in use."""

from __future__ import annotations

import dataclasses
import shutil
import textwrap
import typing
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Literal

from jaxdec.cli.flags.config_flags import has_kinds
from jaxdec.config.setting import help_texts
from jaxdec.config.yaml import field_types, is_optional, kind_of, members, variants

COLUMN = 34  # where the help texts begin
WIDEST = 120
TYPES = {int: "INT", float: "FLOAT", str: "TEXT", Path: "PATH"}
Row = tuple[str, str]  # a flag with the value it takes, and its help
Section = tuple[str, str, list[Row]]  # dotted name, what it is, its flags


def page(command: str, options: Any, about: str) -> str:
    """The whole page; `options`, an instance of the command's dataclass, holds the defaults to show."""
    width = min(shutil.get_terminal_size((WIDEST, 24)).columns, WIDEST)
    hints = field_types(type(options))
    own = [field for field in dataclasses.fields(options) if not variants(hints[field.name])]
    free = [field for field in own if field.metadata.get("positional")]
    rows = [(f"--{field.name}".replace("_", "-"), field) for field in own if field not in free]
    shown = "show this page, with the settings given beside it" if len(own) < len(hints) else "show this page"
    blocks = [
        f"usage: jaxdec {' '.join([command, *(field.metadata['metavar'] for field in free)])} [OPTIONS]",
        *_paragraphs(about, width),
        "\n".join(
            [
                *_lines([(field.metadata["metavar"], field.metadata["help"]) for field in free], width),
                *_lines([_option(flag, hints[field.name], field) for flag, field in rows], width),
                *_lines([("-h, --help", shown)], width),
            ]
        ),
    ]
    for field in dataclasses.fields(options):
        if variants(hints[field.name]):
            name = "" if field.metadata.get("whole") else field.name
            for title, text, flags in _sections(name, hints[field.name], getattr(options, field.name), ""):
                heading = textwrap.wrap(f"{title}: {text}" if text else f"{title}:", width)
                blocks.append("\n".join([*heading, *_lines(flags, width)]))
    return "\n\n".join(blocks)


def _option(flag: str, hint: Any, field: dataclasses.Field[Any]) -> Row:
    """The row of a command's own flag."""
    if hint is bool:
        return flag, field.metadata["help"]
    unset = field.metadata.get("unset") or ("" if field.default in (None, ()) else field.default)
    default = f" (default: {unset})" if unset != "" else ""
    return f"{flag} {field.metadata.get('metavar') or label(hint)}", field.metadata["help"] + default


def _sections(path: str, hint: Any, value: Any, about: str) -> Iterator[Section]:
    """A section and those inside it. `hint` and `about`: the type and the help text of the field that holds it."""
    if isinstance(value, tuple):
        yield path, "values that take turns from layer to layer.", []
        for index, item in enumerate(value):
            yield from _sections(f"{path}.{index}", hint, item, about)
        return
    rows: list[Row] = []
    inner: list[tuple[str, Any, Any, str]] = []
    if has_kinds(hint):
        kinds = [*map(kind_of, variants(hint)), *(["None"] if is_optional(hint) else [])]
        kind = None if value is None else kind_of(type(value))
        rows.append((f"--{path}.kind {{{','.join(kinds)}}}", f"{about} (default: {kind})"))
    texts = {} if value is None else help_texts(type(value))
    for name, leaf in ({} if value is None else field_types(type(value))).items():
        dotted = f"{path}.{name}".removeprefix(".").replace("_", "-")
        item = getattr(value, name)
        if variants(leaf):
            inner.append((dotted, leaf, item, texts.get(name, "")))
        else:
            rows.append((f"--{dotted} {label(leaf)}", f"{texts.get(name, '')} (default: {_shown(item)})"))
    if not path and rows:  # settings of a whole config that lie in no section
        yield "run", "", rows
    elif path:
        yield path, " ".join((type(value).__doc__ or "").split()) if value is not None else "", rows
    for section in inner:
        yield from _sections(*section)


def _shown(value: Any) -> str:
    return ",".join(value) if isinstance(value, tuple) else str(value)


def label(hint: Any) -> str:
    """What a flag takes, in short.

    >>> label(int | None), label(Literal["small", "large"])
    ('INT|None', '{small,large}')
    """
    names: list[str] = []
    choices: list[str] = []
    for member in members(hint):
        if typing.get_origin(member) is Literal:
            choices += map(str, typing.get_args(member))
        elif typing.get_origin(member) is tuple:
            names.append(f"{label(typing.get_args(member)[0])},...")
        elif member is bool:
            choices += ["True", "False"]
        elif member is not type(None):
            names.append(TYPES[member])
    optional = ["None"] if is_optional(hint) else []
    return "|".join([*names, *(["{" + ",".join([*choices, *optional]) + "}"] if choices else optional)])


def _lines(rows: Iterable[Row], width: int) -> Iterator[str]:
    for flag, text in rows:
        lines = textwrap.wrap(" ".join(text.split()), max(20, width - COLUMN), break_on_hyphens=False)
        beside = len(flag) + 4 <= COLUMN
        yield f"  {flag:<{COLUMN - 2}}{lines[0] if lines else ''}".rstrip() if beside else f"  {flag}"
        yield from (" " * COLUMN + line for line in lines[1 if beside else 0 :])


def _paragraphs(about: str, width: int) -> Iterator[str]:
    """The paragraphs of a text, wrapped; a line that begins with `jaxdec` is an example and stays whole."""
    for paragraph in about.split("\n\n"):
        text, _, example = paragraph.partition("\njaxdec ")
        wrapped = textwrap.fill(" ".join(text.split()), width, break_on_hyphens=False)
        yield f"{wrapped}\n\n  jaxdec {example}" if example else wrapped
