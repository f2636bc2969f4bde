"""Every setting says what it is: its help text stands beside its default, and `--help` shows it."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

import pytest

from jaxdec.config.run import RunConfig
from jaxdec.config.setting import help_texts, setting
from jaxdec.config.yaml import field_types, variants


def sections(cls: type) -> Iterator[type]:
    """The class, and the classes of all values that its fields may hold."""
    yield cls
    for hint in field_types(cls).values():
        for inner in variants(hint):
            yield from sections(inner)


def test_a_setting_is_a_field_with_a_default_and_a_text() -> None:
    @dataclasses.dataclass(frozen=True)
    class Loop:
        steps: int = setting(20, "optimizer steps")
        seed: int = 0

    assert (Loop(), Loop.steps, help_texts(Loop)) == (Loop(20, 0), 20, {"steps": "optimizer steps"})


@pytest.mark.parametrize("cls", dict.fromkeys(sections(RunConfig)), ids=lambda cls: cls.__name__)
def test_every_setting_has_a_help_text(cls: type) -> None:
    leaves = [name for name, hint in field_types(cls).items() if not variants(hint)]
    without = [name for name in leaves if not help_texts(cls).get(name)]
    assert not without, f"{cls.__name__}: give these fields a text, as `steps: int = setting(2000, 'optimizer steps')`"
    assert cls.__doc__, f"{cls.__name__} has no docstring, which is the heading of its flags"
