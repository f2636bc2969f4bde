"""A field of a config with its help text, which the command line shows and which stands beside the field in the code.

Imports nothing of the project. A field that has no default carries the text in the same place:
`layers: int = field(metadata={"help": "number of blocks"})`.
"""

from __future__ import annotations

import dataclasses
from typing import TypeVar

Value = TypeVar("Value")


def setting(default: Value, help: str) -> Value:
    """A field of a frozen dataclass: `steps: int = setting(2000, "optimizer steps")`.

    Returns what `dataclasses.field` does; to a type checker it is the default, whose type must fit the field's.
    """
    return dataclasses.field(default=default, metadata={"help": help})


def help_texts(cls: type) -> dict[str, str]:
    """The help text of each field of a config class that has one."""
    return {field.name: field.metadata["help"] for field in dataclasses.fields(cls) if "help" in field.metadata}
