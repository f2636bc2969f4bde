"""Runnable settings by name: recipe `char-gpt` is the `CONFIG` of the module `char_gpt` in this folder.

A recipe's docstring gives its command, its run time and the figure to expect.
"""

from __future__ import annotations

import importlib
import pkgutil

from jaxdec.config.run import RunConfig
from jaxdec.errors import UserError, nearest


def recipe_names() -> list[str]:
    """The names of all recipes, sorted."""
    return sorted(module.name.replace("_", "-") for module in pkgutil.iter_modules(__path__))


def load_recipe(name: str) -> RunConfig:
    """The settings of a recipe. Raises UserError naming the nearest recipe where there is none of that name."""
    if name not in recipe_names():
        raise UserError(f"unknown recipe '{name}'{nearest(name, recipe_names())}")
    return _module(name).CONFIG.check()


def describe_recipe(name: str) -> str:
    """The first line of a recipe's docstring."""
    return (_module(name).__doc__ or "").strip().splitlines()[0].rstrip(".")


def _module(name: str):
    return importlib.import_module(f"{__name__}.{name.replace('-', '_')}")
