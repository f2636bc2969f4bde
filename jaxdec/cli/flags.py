"""Typed flags from dataclasses, with errors of one line.

tyro turns a command's `Arguments` into flags and help. What the user typed is checked against the same
dataclass first, because tyro answers a mistake with a page: an unknown flag gets the name of its nearest neighbour, a
value of the wrong type gets what the flag accepts.
"""

from __future__ import annotations

import contextlib
import io
import re
import typing
from collections.abc import Iterator, Sequence
from typing import Annotated, Any, TypeVar

import tyro

from jaxdec.config_file import describe, field_types, read_leaf, variants
from jaxdec.errors import UserError, nearest

Arguments = TypeVar("Arguments")
Typed = tuple[str | None, str | None]  # (flag, value), as `pairs` explains

# Config values are written out (`--model.bias False`, as `--optim.clip-norm None`); a command's switches are bare.
Section = (tyro.conf.FlagConversionOff, tyro.conf.AvoidSubcommands)
Flattened = tyro.conf.arg(name="")  # --train.steps, not --run.train.steps
Positional = tyro.conf.Positional


def parse(command: str, default: Arguments, argv: Sequence[str], *, about: str) -> Arguments:
    """`argv` as an instance of the dataclass of `default`, whose fields are the values of flags left out.

    Raises UserError for anything that does not fit. `--help` prints and raises SystemExit(0).
    """
    flags = dict(known_flags(type(default)))
    typed = list(pairs(argv, flags))
    if not {"-h", "--help"} & set(argv):
        check(command, typed, flags, positionals(type(default)))
    messages = io.StringIO()
    try:
        with contextlib.redirect_stderr(messages):
            return tyro.cli(
                type(default),
                args=[word for pair in typed for word in _joined(*pair)],
                default=default,
                prog=f"jaxdec {command}",
                description=about,
                use_underscores=False,
                config=(tyro.conf.FlagCreatePairsOff, tyro.conf.HelptextFromCommentsOff),
            )
    except SystemExit as stop:
        if stop.code in (0, None):
            raise
        raise UserError(f"{_one_line(messages.getvalue())}; see jaxdec {command} --help") from None


def known_flags(cls: type, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Every flag of an `Arguments` class with the type hint of its field, e.g. ("--train.steps", int)."""
    for name, hint in field_types(cls).items():
        if _marked(hint, Positional):
            continue
        sections = variants(hint)
        if sections:
            deeper = prefix if Flattened in typing.get_args(hint) else f"{prefix}{name}."
            for section in sections:
                yield from known_flags(section, deeper)
        else:
            plain = typing.get_args(hint)[0] if typing.get_origin(hint) is Annotated else hint
            yield f"--{prefix}{name}".replace("_", "-"), plain


def positionals(cls: type) -> list[str]:
    """The names of the arguments that are given without a flag."""
    return [name for name, hint in field_types(cls).items() if _marked(hint, Positional)]


def check(command: str, typed: Sequence[Typed], flags: dict[str, Any], positional: list[str]) -> None:
    """Raises UserError for the first flag, value or argument in `typed` that the command does not know."""
    free = list(positional)
    for flag, value in typed:
        if flag is None:
            if not free:
                raise UserError(f"unexpected argument '{value}'; see jaxdec {command} --help")
            free.pop(0)
        elif flag not in flags:
            raise UserError(f"unknown flag {flag}{_nearest_flag(flag, flags)}")
        elif value is None and not is_switch(flag, flags):
            raise UserError(f"{flag} needs a value: give {describe(flags[flag])}")
        elif value is not None and is_switch(flag, flags):
            raise UserError(f"{flag} is a switch and takes no value")
        elif value is not None and typing.get_origin(flags[flag]) is not tuple:
            read_leaf(flags[flag], None if value == "None" and _optional(flags[flag]) else value, flag)


def pairs(argv: Sequence[str], flags: dict[str, Any]) -> Iterator[Typed]:
    """(flag, value) for each thing typed; (None, word) for a word without a flag, (flag, None) without a value."""
    words = list(argv)
    while words:
        word = words.pop(0)
        if not _is_flag(word):
            yield None, word
            continue
        flag, equals, value = word.partition("=")
        flag = flag.replace("_", "-")
        if equals:
            yield flag, value
        elif is_switch(flag, flags) or not words or words[0].startswith("--"):
            yield flag, None
        else:
            yield flag, words.pop(0)


def is_switch(flag: str, flags: dict[str, Any]) -> bool:
    """Whether a flag is on when it is typed alone. Fields of a config section have a dot and take True or False."""
    return "." not in flag and flags.get(flag) is bool


def _nearest_flag(flag: str, flags: dict[str, Any]) -> str:
    # The last part decides when the whole is not close: --learning-rate means --optim.learning-rate.
    by_tail = {name.rpartition(".")[2]: name for name in flags if "." in name}
    tail = flag.lstrip("-").rpartition(".")[2]
    if tail in by_tail and flag not in flags:
        return f" (did you mean '{by_tail[tail]}'?)"
    hint = nearest(flag, flags)
    return hint if "did you mean" in hint else "; --help lists them all"


def _joined(flag: str | None, value: str | None) -> list[str]:
    # "--prompt=-x": apart, a value that begins with a hyphen would be taken for a flag.
    return [value or ""] if flag is None else [flag if value is None else f"{flag}={value}"]


def _is_flag(word: str) -> bool:
    return (word.startswith("--") and len(word) > 2) or re.fullmatch(r"-[A-Za-z]", word) is not None


def _marked(hint: Any, marker: Any) -> bool:
    return any(marker is item or marker == item for item in getattr(hint, "__metadata__", ()))


def _optional(hint: Any) -> bool:
    return describe(hint).endswith("None")


def _one_line(box: str) -> str:
    text = re.sub(r"\x1b\[[0-9;]*m", "", box)
    return re.sub(r"\s+", " ", re.sub(r"[─-╿]", " ", text)).strip().rstrip(".") or "the arguments cannot be read"
