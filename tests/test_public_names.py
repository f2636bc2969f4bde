"""What `import jaxdec` gives: every public name, looked up when it is used, described, and offered for completion."""

from __future__ import annotations

import inspect
import subprocess
import sys

import pytest

import jaxdec


def test_importing_loads_neither_jax_nor_torch() -> None:
    code = "import sys, jaxdec; print([name for name in ('jax', 'torch', 'flax', 'numpy') if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.stdout.strip() == "[]", done.stdout + done.stderr


def test_every_name_is_there_and_described() -> None:
    assert sorted(jaxdec._HOMES) == sorted(jaxdec.__all__)
    for name in jaxdec.__all__:
        value = getattr(jaxdec, name)
        if inspect.isclass(value) or inspect.isfunction(value):
            doc = inspect.getdoc(value) or ""
            assert len(doc) > 20 and not doc.startswith(f"{name}("), f"{name} has no docstring of its own"


def test_names_are_offered_for_completion() -> None:
    assert set(jaxdec.__all__) | {"__version__"} <= set(dir(jaxdec))


def test_version() -> None:
    assert jaxdec.__version__.count(".") >= 2


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="trian"):
        jaxdec.trian  # noqa: B018
