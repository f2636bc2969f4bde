"""The options of a command are a frozen dataclass; these make its fields, each with its help text.

A field whose type is a config class is a section: its settings are flags, as `--data.corpus`, and their help stands in
the config class. `whole_config()` makes the sections of a config flags themselves: `--train.steps`, not
`--run.train.steps`.
"""

from __future__ import annotations

import dataclasses
from typing import Any, TypeVar

Value = TypeVar("Value")


def option(default: Value, help: str, *, metavar: str | None = None, unset: str | None = None) -> Value:
    """A flag. A bool is a switch; a tuple may be given several times.

    `metavar` stands for the value on the help page, in place of its type; `unset` tells there what holds when the flag
    is left out, in place of the default.
    """
    return dataclasses.field(default=default, metadata={"help": help, "metavar": metavar, "unset": unset})


def argument(metavar: str, help: str) -> Any:
    """A value that is given without a flag; None when it is left out."""
    return dataclasses.field(default=None, metadata={"help": help, "metavar": metavar, "positional": True})


def arguments(metavar: str, help: str) -> Any:
    """All values that are given without a flag and behind the others, as a tuple."""
    return dataclasses.field(default=(), metadata={"help": help, "metavar": metavar, "positional": True})


def whole_config() -> Any:
    """A config whose sections are flags of the command. It has no default."""
    return dataclasses.field(metadata={"whole": True})


# Options that several commands share.


def json_option() -> bool:
    return option(False, "end with one JSON line on stdout")


def run_argument() -> Any:
    return argument(
        "RUN", "the run directory, the --out of a jaxdec train; or a folder or file with weights, or a hub id"
    )


def step_option() -> Any:
    return option(None, "use the checkpoint of this step", metavar="INT", unset="the newest")


def from_file_option() -> Any:
    return option(
        None, "a copy of the corpus that you already have: its file, or the folder of its files", metavar="PATH"
    )
