"""`jaxdec list`: the recipes and corpora there are."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

from jaxdec.cli.flags import parse
from jaxdec.cli.options import Json
from jaxdec.model_config import AnyModel
from jaxdec.recipes import describe_recipe, load_recipe, recipe_names


@dataclasses.dataclass(frozen=True)
class Arguments:
    json: Json = False


def run(argv: Sequence[str]) -> dict[str, Any]:
    """Prints the tables and returns them."""
    parse("list", Arguments(), argv, about="Show the recipes and corpora.")
    from jaxdec.data.corpora import CORPORA

    recipes = {name: (block_parameters(load_recipe(name).model), describe_recipe(name)) for name in recipe_names()}
    print("recipes (parameters besides those of the vocabulary)")
    for name, (count, about) in recipes.items():
        print(f"  {name:<18}{count / 1e6:>8.2f}M  {about}")
    print("\ncorpora (or the path of any UTF-8 text file)")
    for name, about in CORPORA.items():
        print(f"  {name:<18}{about}")
    return {
        "recipes": {name: {"parameters": count, "about": about} for name, (count, about) in recipes.items()},
        "corpora": dict(CORPORA),
    }


def block_parameters(model: AnyModel) -> int:
    """Parameters that do not depend on the vocabulary: all but the token embedding and an untied head."""
    return 0
