"""The words of a command line as the options of a command, with errors of one line.

`parse` reads what was typed, checks each value against the type of its field, and prints the help page when it is asked
for. Sections of a config among the options are read by `config_flags`, which lays their flags over the default. A
mistyped flag gets the name of its nearest neighbour, a value of the wrong type gets what the flag accepts.
"""

from __future__ import annotations

import dataclasses
import difflib
import re
import typing
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from jaxdec.cli.flags.config_flags import all_flags, flags_in_use, override
from jaxdec.cli.flags.help import page
from jaxdec.config.yaml import build, config_to_dict, describe, field_types, is_optional, read_leaf, variants
from jaxdec.errors import UserError, nearest

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

Options = TypeVar("Options", bound="DataclassInstance")
FlagAndValue = tuple[str | None, str | None]  # as `pairs` explains


def parse(command: str, default: Options, argv: Sequence[str], *, about: str) -> Options:
    """`argv` as an instance of the dataclass of `default`, whose fields are the values of flags left out.

    Raises UserError for anything that does not fit. `--help` prints and raises SystemExit(0).
    """
    own, sections = own_flags(type(default)), ConfigSections(default)
    typed = list(pairs(argv, own))
    helping = any(flag in ("-h", "--help") for flag, _ in typed)

    def unknown(flag: str) -> UserError:
        return UserError(f"unknown flag {flag}{_nearest_flag(flag, {**own, **sections.flags()})}")

    values = {} if helping else _own_values(command, type(default), typed, sections, unknown)
    settings = sections.override([(flag, text) for flag, text in typed if flag and sections.owns(flag)], unknown)
    options = dataclasses.replace(default, **values, **settings)
    if helping:
        print(page(command, options, about))
        raise SystemExit(0)
    return options


class ConfigSections:
    """The sections of a config among a command's options, as one config that flags can be laid over."""

    def __init__(self, default: Any) -> None:
        hints = {name: hint for name, hint in field_types(type(default)).items() if variants(hint)}
        self.names = list(hints)
        self.whole = next((field.name for field in dataclasses.fields(default) if field.metadata.get("whole")), None)
        if self.whole is not None:
            self.value = getattr(default, self.whole)
        else:
            given = {name: getattr(default, name) for name in hints}
            self.value = dataclasses.make_dataclass("Sections", list(hints.items()))(**given)
        self.cls = type(self.value)

    def owns(self, flag: str) -> bool:
        """Whether the flag speaks of a setting, rightly or not."""
        return flag.removeprefix("--").partition(".")[0].replace("-", "_") in field_types(self.cls)

    def override(self, typed: Sequence[tuple[str, str | None]], unknown: Callable[[str], UserError]) -> dict[str, Any]:
        """The sections, by the names of their options, with what was typed laid over them."""
        value = self.value
        if typed:
            value = build(self.cls, override(self.cls, config_to_dict(value), typed, unknown), "")
        return {self.whole: value} if self.whole is not None else {name: getattr(value, name) for name in self.names}

    def flags(self) -> dict[str, Any]:
        """Flags that could be meant: those of the kinds in use come first."""
        if not self.names:
            return {}
        used = flags_in_use(self.cls, config_to_dict(self.value), "--")
        return dict.fromkeys(used) | dict(all_flags(self.cls, "--"))


def own_flags(cls: type) -> dict[str, Any]:
    """The flags of a command besides those of config sections, with the type hints of their fields."""
    hints = field_types(cls)
    return {
        f"--{field.name}".replace("_", "-"): hints[field.name]
        for field in dataclasses.fields(cls)
        if not variants(hints[field.name]) and not field.metadata.get("positional")
    }


def pairs(argv: Sequence[str], flags: dict[str, Any]) -> Iterator[FlagAndValue]:
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
        elif flags.get(flag) is bool or not words or words[0].startswith("--"):  # a bool is a switch
            yield flag, None
        else:
            yield flag, words.pop(0)


def _own_values(
    command: str,
    cls: type,
    typed: Sequence[FlagAndValue],
    sections: ConfigSections,
    unknown: Callable[[str], UserError],
) -> dict[str, Any]:
    """The values of a command's own options, by their names. Raises UserError for the first that does not fit."""
    own, hints = own_flags(cls), field_types(cls)
    free = [field for field in dataclasses.fields(cls) if field.metadata.get("positional")]
    values: dict[str, Any] = {}
    for flag, text in typed:
        if flag is None:
            if not free:
                raise UserError(f"unexpected argument '{text}'; see jaxdec {command} --help")
            several = typing.get_origin(hints[free[0].name]) is tuple
            field = free[0] if several else free.pop(0)
            if not text:
                raise UserError(
                    f"{field.metadata['metavar']} is empty: give one, or leave it out; see jaxdec {command} --help"
                )
            metavar, hint = field.metadata["metavar"], hints[field.name]
            if several:
                values[field.name] = (*values.get(field.name, ()), read_leaf(typing.get_args(hint)[0], text, metavar))
            else:
                values[field.name] = read_leaf(hint, text, metavar)
        elif sections.owns(flag):
            continue
        elif flag not in own:
            raise unknown(flag)
        else:
            name = flag.removeprefix("--").replace("-", "_")
            values[name] = _own_value(flag, own[flag], text, values.get(name, ()))
    return values


def _own_value(flag: str, hint: Any, text: str | None, before: Any) -> Any:
    """The value of a flag that was typed with `text`; a tuple adds it to what was typed `before`."""
    if hint is bool:
        if text is not None:
            raise UserError(f"{flag} is a switch and takes no value")
        return True
    if text is None:
        raise UserError(f"{flag} needs a value: give {describe(hint)}")
    if typing.get_origin(hint) is tuple:
        return (*before, read_leaf(typing.get_args(hint)[0], text, flag))
    return read_leaf(hint, None if text == "None" and is_optional(hint) else text, flag)


def _nearest_flag(flag: str, flags: dict[str, Any]) -> str:
    # A flag that ends in the same name is meant before one that only looks alike: --optim.steps means --train.steps.
    tail = flag.lstrip("-").rpartition(".")[2]
    same = [name for name in flags if "." in name and name.rpartition(".")[2] == tail]
    if same and flag not in flags:
        return f" (did you mean '{difflib.get_close_matches(flag, same, n=1, cutoff=0)[0]}'?)"
    hint = nearest(flag, [*flags, "--help"])
    return hint if "did you mean" in hint else "; --help lists them all"


def _is_flag(word: str) -> bool:
    return (word.startswith("--") and len(word) > 2) or re.fullmatch(r"-[A-Za-z]", word) is not None
