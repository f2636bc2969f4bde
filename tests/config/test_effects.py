"""No dead keys: every field of every config class changes what a run computes, holds, reads or writes.

For each field there is a config in which it matters, and another value for it. The classes and their fields are found
by walking the types from `RunConfig` down, so that a field without an effect, or a new one without a line here, fails.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import jax
import pytest

from jaxdec.config import parts
from jaxdec.config.model import EncoderDecoderConfig
from jaxdec.config.run import RunConfig
from jaxdec.config.yaml import field_types, variants
from tests.config.effects import models, runs
from tests.config.effects.files import write_files
from tests.config.effects.runs import RUN
from tests.config.effects.views import OF_MODELS, VIEWS

VALUES = {**models.VALUES, **runs.VALUES}
BASES = {**models.BASES, **runs.BASES}


def classes(hint: Any = RunConfig) -> Iterator[type]:
    """Every config class that a field can hold, from `hint` down."""
    for cls in variants(hint) or (hint,):
        yield cls
        for inner in field_types(cls).values():
            if variants(inner):
                yield from classes(inner)


FIELDS = [(cls, name) for cls in dict.fromkeys(classes()) if cls is not RunConfig for name in field_types(cls)]


@pytest.fixture(autouse=True, scope="module")
def _texts(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    folder = tmp_path_factory.mktemp("texts")
    write_files(folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        jax.config.update("jax_disable_most_optimizations", True)
        yield
        jax.config.update("jax_disable_most_optimizations", False)


@pytest.mark.parametrize(("cls", "name"), FIELDS, ids=lambda value: getattr(value, "__name__", value))
def test_every_field_has_an_effect(cls: type, name: str) -> None:
    base, place = BASES[cls]
    value = VALUES[cls][name]
    if isinstance(value, tuple) and isinstance(value[0], cls):
        base, value = value
    assert getattr(base, name) != value
    before, after = (replace(RUN, **place(part)) for part in (base, replace(base, **{name: value})))
    assert any(view(before) != view(after) for view in VIEWS.get(cls, OF_MODELS))


@pytest.mark.parametrize(
    "cls", [cls for cls in dict.fromkeys(classes()) if cls is not RunConfig], ids=lambda cls: cls.__name__
)
def test_the_table_knows_no_other_fields(cls: type) -> None:
    assert set(VALUES[cls]) == set(field_types(cls))


@pytest.mark.parametrize("cls", [parts.MoE, EncoderDecoderConfig, *VIEWS], ids=lambda cls: cls.__name__)
def test_what_is_seen_depends_on_the_config_alone(cls: type) -> None:
    """Two equal configs look the same: otherwise any field would seem to have an effect."""
    base, place = BASES[cls]
    run = replace(RUN, **place(base))
    for view in VIEWS.get(cls, OF_MODELS):
        assert view(run) == view.__wrapped__(run)
