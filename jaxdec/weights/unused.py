"""Rules that match no parameter: what each of them asks for, and the names that are nearest to it."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from jaxdec.weights.entries import Problem
from jaxdec.weights.rule_syntax import WeightRule


def unused_rules(
    rules: Iterable[WeightRule], candidate: Mapping[str, Any], reference: Mapping[str, Any]
) -> Iterator[Problem]:
    """A problem for each of `rules`, none of which served a parameter, unless it says by `<-?` that it need not.

    `candidate` and `reference` hold the names that there are on either side.
    """
    for rule in rules:
        if not rule.optional:
            why = _why_unused(rule, candidate, reference)
            yield Problem(
                "unused", rule.text, f"{rule} {why}; mend or drop it, or write '<-?' where a model may lack it"
            )


def _why_unused(rule: WeightRule, candidate: Mapping[str, Any], reference: Mapping[str, Any]) -> str:
    if rule.candidate is None:
        return f"matches no tensor of the reference (nearest: {_nearest(rule.reference.text, reference)})"
    values = [found for name in candidate if (found := rule.candidate.match(name)) is not None]
    if not values:
        return f"matches no parameter of the candidate (nearest: {_nearest(rule.candidate.text, candidate)})"
    wanted = rule.reference.fill(values[0])
    if wanted in reference or rule.gathered:
        return "serves nothing: the rules before it serve all that it matches"
    return f"asks for {wanted}, which is not there (nearest: {_nearest(wanted, reference)})"


def _nearest(wanted: str, names: Iterable[str], count: int = 3) -> str:
    """The names most like `wanted`, of those that differ by a number alone the first one."""
    distinct: dict[str, str] = {}
    for name in names:
        distinct.setdefault(re.sub(r"\d+", "0", name), name)
    close = difflib.get_close_matches(re.sub(r"\{\*?\w+\}", "0", wanted), distinct, n=count, cutoff=0.0)
    return ", ".join(distinct[name] for name in close) or "there are none"
