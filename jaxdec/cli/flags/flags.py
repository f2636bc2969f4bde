"""Typed flags from dataclasses, with errors of one line.

tyro turns a command's `Arguments` into flags and help. What the user typed is checked against the same
dataclass first, because tyro answers a mistake with a page: an unknown flag gets the name of its nearest neighbour, a
value of the wrong type gets what the flag accepts. Sections of a config among the arguments are in tyro's help alone:
`config_flags` lays their flags over the default.
"""

from __future__ import annotations

import contextlib
import dataclasses
import io
import re
import typing
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import tyro

from jaxdec.cli.flags.config_flags import all_flags, flags_in_use, override
from jaxdec.cli.flags.config_help import shown
from jaxdec.config.yaml import build, config_to_dict, describe, field_types, is_optional, read_leaf, variants
from jaxdec.errors import UserError, nearest

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

Arguments = TypeVar("Arguments", bound="DataclassInstance")
Typed = tuple[str | None, str | None]  # (flag, value), as `pairs` explains

# Config values are written out (`--model.bias False`, as `--optim.clip-norm None`); a command's switches are bare.
Section = (tyro.conf.FlagConversionOff, tyro.conf.AvoidSubcommands)
Flattened = tyro.conf.arg(name="")  # --train.steps, not --run.train.steps
Positional = tyro.conf.Positional


def parse(command: str, default: Arguments, argv: Sequence[str], *, about: str) -> Arguments:
    """`argv` as an instance of the dataclass of `default`, whose fields are the values of flags left out.

    Raises UserError for anything that does not fit. `--help` prints and raises SystemExit(0).
    """
    flags, settings = own_flags(type(default)), Settings(default)
    typed = list(pairs(argv, flags))
    if not {"-h", "--help"} & set(argv):
        check(command, typed, flags, positionals(type(default)), settings)
    owned = [(flag, value) for flag, value in typed if flag and settings.owns(flag)]
    sections = settings.override(owned, lambda flag: unknown_flag(flag, flags, settings))
    words = [word for flag, value in typed if not (flag and settings.owns(flag)) for word in _joined(flag, value)]
    arguments = _by_tyro(command, default, sections, words, about)
    return dataclasses.replace(default, **{**arguments, **sections})


def _by_tyro(command: str, default: Any, sections: Mapping[str, Any], words: list[str], about: str) -> dict[str, Any]:
    """The fields of a command's arguments; sections of a config are there for the help alone."""
    hints = field_types(type(default))
    display = {name: shown(value) for name, value in sections.items()}
    fields = [
        (name, Annotated[(type(display[name]), *getattr(hint, "__metadata__", ()))] if name in display else hint)
        for name, hint in hints.items()
    ]
    cls = dataclasses.make_dataclass("Arguments", fields, frozen=True)
    messages = io.StringIO()
    try:
        with contextlib.redirect_stderr(messages):
            parsed = tyro.cli(
                cls,
                args=words,
                default=cls(**{**vars(default), **display}),
                prog=f"jaxdec {command}",
                description=about,
                use_underscores=False,
                config=(tyro.conf.FlagCreatePairsOff, tyro.conf.HelptextFromCommentsOff),
            )
    except SystemExit as stop:
        if stop.code in (0, None):
            raise
        raise UserError(f"{_one_line(messages.getvalue())}; see jaxdec {command} --help") from None
    return vars(parsed)


class Settings:
    """The sections of a config among a command's arguments, as one config that flags can be laid over."""

    def __init__(self, default: Any) -> None:
        hints = {name: hint for name, hint in field_types(type(default)).items() if variants(hint)}
        self.names = list(hints)
        self.flat = next((name for name, hint in hints.items() if Flattened in typing.get_args(hint)), None)
        if self.flat is not None:
            self.value = getattr(default, self.flat)
        else:
            fields = [(name, typing.get_args(hint)[0]) for name, hint in hints.items()]
            self.value = dataclasses.make_dataclass("Settings", fields)(
                **{name: getattr(default, name) for name in hints}
            )
        self.cls = type(self.value)

    def owns(self, flag: str) -> bool:
        """Whether the flag speaks of a setting, rightly or not."""
        return flag.removeprefix("--").partition(".")[0].replace("-", "_") in field_types(self.cls)

    def override(self, typed: Sequence[tuple[str, str | None]], unknown: Any) -> dict[str, Any]:
        """The sections, by the names of their arguments, with what was typed laid over them."""
        if not typed:
            return self.sections(self.value)
        return self.sections(build(self.cls, override(self.cls, config_to_dict(self.value), typed, unknown), ""))

    def sections(self, value: Any) -> dict[str, Any]:
        return {self.flat: value} if self.flat is not None else {name: getattr(value, name) for name in self.names}

    def flags(self) -> dict[str, Any]:
        """Flags that could be meant: those of the kinds in use come first."""
        if not self.names:
            return {}
        used = flags_in_use(self.cls, config_to_dict(self.value), "--")
        return dict.fromkeys(used) | dict(all_flags(self.cls, "--"))


def own_flags(cls: type) -> dict[str, Any]:
    """The flags of a command besides those of config sections, with the type hints of their fields."""
    return {
        f"--{name}".replace("_", "-"): typing.get_args(hint)[0] if typing.get_origin(hint) is Annotated else hint
        for name, hint in field_types(cls).items()
        if not variants(hint) and not _marked(hint, Positional)
    }


def positionals(cls: type) -> list[str]:
    """The names of the arguments that are given without a flag."""
    return [name for name, hint in field_types(cls).items() if _marked(hint, Positional)]


def check(
    command: str, typed: Sequence[Typed], flags: dict[str, Any], positional: list[str], settings: Settings
) -> None:
    """Raises UserError for the first flag, value or argument in `typed` that the command does not know; settings are
    checked when they are laid over the default."""
    free = list(positional)
    for flag, value in typed:
        if flag is None:
            if not free:
                raise UserError(f"unexpected argument '{value}'; see jaxdec {command} --help")
            if not value:
                raise UserError(f"{free[0].upper()} is empty: give one, or leave it out; see jaxdec {command} --help")
            free.pop(0)
        elif settings.owns(flag):
            continue
        elif flag not in flags:
            raise unknown_flag(flag, flags, settings)
        elif value is None and not is_switch(flag, flags):
            raise UserError(f"{flag} needs a value: give {describe(flags[flag])}")
        elif value is not None and is_switch(flag, flags):
            raise UserError(f"{flag} is a switch and takes no value")
        elif value is not None and typing.get_origin(flags[flag]) is not tuple:
            read_leaf(flags[flag], None if value == "None" and is_optional(flags[flag]) else value, flag)


def unknown_flag(flag: str, flags: dict[str, Any], settings: Settings) -> UserError:
    return UserError(f"unknown flag {flag}{_nearest_flag(flag, {**flags, **settings.flags()})}")


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
    """Whether a flag of the command is on when it is typed alone."""
    return flags.get(flag) is bool


def _nearest_flag(flag: str, flags: dict[str, Any]) -> str:
    # The last part decides when the whole is not close: --learning-rate means --optim.learning-rate.
    by_tail = {name.rpartition(".")[2]: name for name in reversed(flags) if "." in name}  # the first of a name counts
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


def _one_line(box: str) -> str:
    text = re.sub(r"\x1b\[[0-9;]*m", "", box)
    return re.sub(r"\s+", " ", re.sub(r"[─-╿]", " ", text)).strip().rstrip(".") or "the arguments cannot be read"
