"""Which module of the reference is which module of the candidate."""

from __future__ import annotations

from collections.abc import Iterable

from jaxdec.errors import UserError, listed
from jaxdec.weights.rules import WeightRules


def tap_names(rules: str, paths: Iterable[str]) -> dict[str, str]:
    """{module path of the reference: path of the candidate}, by rules "candidate <- reference"; modules without a rule
    are not tapped. Raises UserError where a rule matches nothing."""
    names: dict[str, str] = {}
    paths = list(paths)
    for rule in WeightRules.parse(rules).rules:
        found = {path: rule.reference.match(path) for path in paths}
        matches = {path: values for path, values in found.items() if values is not None}
        if not matches and not rule.optional:
            raise UserError(f"taps: {rule} matches no module of the reference; there are {listed(paths, 6)}")
        for path, values in matches.items():
            if rule.candidate is not None:
                names.setdefault(path, rule.candidate.fill(values))
    return names
