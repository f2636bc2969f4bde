"""`jaxdec list`: the ladder of models, the recipes, corpora, tokenizers and suites there are."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from jaxdec.cli.flags.flags import parse
from jaxdec.cli.flags.options import json_option
from jaxdec.config.run import DataConfig
from jaxdec.config.yaml import field_types, kind_of, variants
from jaxdec.models.flops import parameters, training_flops
from jaxdec.models.ladder import LADDER
from jaxdec.recipes import describe_recipe, recipe_names

CHARACTERS = 65  # the vocabulary of tiny Shakespeare, for models that leave theirs to the tokenizer
MODERN = 10_000  # and the byte pairs that the source of `modern` trains
WIDTH = 108


@dataclasses.dataclass(frozen=True)
class ListOptions:
    json: bool = json_option()


def run(argv: Sequence[str]) -> dict[str, Any]:
    """Prints the tables and returns them."""
    parse(
        "list", ListOptions(), argv, about="Show the ladder of models, and the recipes, corpora, tokenizers and suites."
    )
    return {
        "ladder": show_ladder(),
        "recipes": show_recipes(),
        "corpora": show_corpora(),
        "tokenizers": show_kinds(),
        "suites": show_suites(),
    }


def show_ladder() -> list[dict[str, Any]]:
    """Prints a line per rung and returns what it holds."""
    rungs = [
        {
            "rung": rung.name,
            "adds": rung.adds,
            "parameters": parameters(rung.config, vocabulary(rung.name)),
            "flops_per_token": training_flops(rung.config, vocabulary(rung.name), rung.config.context),
        }
        for rung in LADDER
    ]
    print(f"ladder: every model of the curriculum{'parameters':>49}{'FLOPs a token':>16}")
    for rung in rungs:
        figures = f"{in_short(rung['parameters'], 'KMBT'):>10}{in_short(rung['flops_per_token'], 'KMGT'):>16}"
        print(f"  {rung['rung']:<18}{rung['adds']:<56}{figures}")
    print(
        f"  Parameters with a vocabulary of {CHARACTERS} characters where the tokenizer decides ({MODERN:,} byte\n"
        "  pairs in modern); FLOPs of training, by the rule in jaxdec/models/flops.py."
    )
    return rungs


def show_recipes() -> dict[str, str]:
    about = {name: describe_recipe(name) for name in recipe_names()}
    print("\nrecipes: jaxdec train RECIPE")
    show(about)
    return about


def show_corpora() -> dict[str, str]:
    from jaxdec.data.corpora.pairs import PAIR_CORPORA
    from jaxdec.data.corpora.registry import CORPORA

    print(
        "\ncorpora: --data.corpus NAME, or the path of a text, of a file of records (.jsonl .json .csv .tsv .parquet)\n"
        "  or of a folder of them, also packed as .gz or .zst. What is not on this machine is downloaded."
    )
    show(CORPORA)
    print("\npairs for encoder-decoders: --data.corpus NAME, or the path of a file of lines source<TAB>target")
    show(PAIR_CORPORA)
    print(
        "\nrecords for the stages classify, instruct and preference: sms_spam, instruct, preference, a path, or\n"
        "  embedded, the small data of the stage that come with the package"
    )
    return {**CORPORA, **PAIR_CORPORA}


def show_kinds() -> dict[str, str]:
    kinds = variants(field_types(DataConfig)["tokenizer"])
    about = {kind_of(kind): " ".join((kind.__doc__ or "").split()).rstrip(".") for kind in kinds}
    print("\ntokenizers: --data.tokenizer KIND")
    show(about)
    return about


def show_suites() -> dict[str, str]:
    from jaxdec.evaluation.suites.registry import SUITES

    about = {name: suite.about for name, suite in SUITES.items()}
    print("\nsuites: jaxdec evaluate RUN --suite NAME")
    show(about)
    return about


def show(about: Mapping[str, str]) -> None:
    """A line per name; what does not fit goes on below."""
    import textwrap

    for name, text in about.items():
        lines = textwrap.wrap(text, WIDTH - 20, break_on_hyphens=False)
        print("\n".join([f"  {name:<18}{lines[0]}", *(f"{'':<20}{line}" for line in lines[1:])]))


def vocabulary(rung: str) -> int:
    """The tokens of a rung whose config leaves them to the tokenizer."""
    return MODERN if rung == "modern" else CHARACTERS


def in_short(number: float, units: str) -> str:
    """Three digits, and the letter of the power of a thousand.

    >>> in_short(124_439_808, "KMBT")
    '124M'
    """
    power = 0
    while number >= 999.5 and power < len(units):
        number, power = number / 1000, power + 1
    return f"{number:.3g}{units[power - 1] if power else ''}"
