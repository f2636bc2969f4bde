"""The weight rule table: how a reference's tensors become a candidate's parameters.

One rule a line, `CANDIDATE <- REFERENCE : OP OP ...`; `#` starts a comment. For each candidate parameter the first rule
is used whose left side matches and whose reference exists. A rule that matches no parameter is an error, unless it is
written `<-?`: so one table can serve models with and without a part. A variable on the right side alone gathers all
tensors that match, in numeric order, stacked along a new first axis. `- <- REFERENCE` names what is left out on
purpose. `docs/parity_rules.md` has the ops and an example.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from jaxdec.errors import UserError, nearest
from jaxdec.weights.entries import Entry, Layout, Problem
from jaxdec.weights.ops import ArrayShape, OpError, shape_before
from jaxdec.weights.plan import WeightPlan
from jaxdec.weights.rule_syntax import SyntaxProblem, WeightRule, parse_rule
from jaxdec.weights.unused import unused_rules

__all__ = ["Layout", "Problem", "WeightPlan", "WeightRules"]


@dataclass(frozen=True)
class WeightRules:
    """A table of rules, in the order in which they are tried."""

    rules: tuple[WeightRule, ...]
    text: str = ""

    @classmethod
    def parse(cls, text: str) -> WeightRules:
        """Raises UserError with the number of the first line that is not a rule, the line, and what is allowed."""
        rules: list[WeightRule] = []
        for number, line in enumerate(text.splitlines(), 1):
            line = line.partition("#")[0].strip()
            if not line:
                continue
            try:
                rule = parse_rule(number, line)
                _check_new(rule, rules)
            except SyntaxProblem as error:
                raise UserError(f"weight rules, line {number}: '{line}': {error}") from None
            rules.append(rule)
        return cls(tuple(rules), text)

    def reference_names(self, candidate: str) -> Iterator[tuple[WeightRule, str]]:
        """Every rule that matches a candidate's name, in order, with the reference's name that it asks for.

        A variable to be stacked over stays as it is written.
        """
        for rule in self.rules:
            if rule.candidate is not None and (values := rule.candidate.match(candidate)) is not None:
                yield rule, rule.reference.fill(values)

    def plan(
        self,
        candidate_shapes: Mapping[str, Any],
        reference_shapes: Mapping[str, Any],
        layouts: Mapping[str, Layout] | None = None,
    ) -> WeightPlan:
        """The rules resolved for two sets of names; shapes are tuples, or anything that has a `.shape`.

        `layouts` says of reference tensors whose module is known that they are "out_in" (torch.nn.Linear) or "in_out"
        (transformers' Conv1D): it decides whether a square kernel should be transposed.
        """
        candidate, reference = _shapes(candidate_shapes), _shapes(reference_shapes)
        gathered = {rule: _groups(rule, reference) for rule in self.rules if rule.gathered}
        entries, missing = [], []
        blamed: set[WeightRule] = set()  # their problem is told as a missing parameter
        for name, shape in candidate.items():
            tried = []
            for rule, wanted in self.reference_names(name):
                group = gathered[rule].get(wanted, ()) if rule.gathered else (wanted,) if wanted in reference else ()
                if group:
                    entries.append(Entry(name, shape, rule, tuple(group)))
                    break
                tried.append((rule, wanted))
            else:
                missing.append(Problem("missing", name, _why_missing(name, shape, tried, reference)))
                blamed.update(rule for rule, _ in tried)
        left_out = tuple(
            Entry("-", (), rule, (name,))
            for rule in self.rules
            if rule.candidate is None
            for name in reference
            if rule.reference.match(name) is not None
        )
        served = blamed.union(entry.rule for entry in (*entries, *left_out))
        unused = unused_rules([rule for rule in self.rules if rule not in served], candidate, reference)
        return WeightPlan(tuple(entries), left_out, tuple(missing), tuple(unused), reference, dict(layouts or {}))

    def reference_shapes(self, candidate_shapes: Mapping[str, Any]) -> dict[str, ArrayShape]:
        """Names and shapes of the reference that the table describes, from the candidate's alone: the first rule that
        matches a name is read backwards. With them, `plan(...).to_reference` exports weights to a model that is not
        there.

        Raises UserError where no rule matches a name, or no shape follows (`reshape`).
        """
        found: dict[str, ArrayShape] = {}
        for name, shape in _shapes(candidate_shapes).items():
            rule, wanted = next(self.reference_names(name), (None, ""))
            if rule is None:
                raise UserError(f"weight rules: {name} {shape} has no rule: no left side matches it")
            try:
                whole = shape_before(rule.ops, shape)
                names = [wanted]
                if rule.gathered:
                    count, *rest = whole
                    names, whole = [_numbered(wanted, rule.gathered, n) for n in range(count)], tuple(rest)
                for each in names:
                    found[each] = _both_fit(found.get(each, whole), whole)
            except OpError as error:
                raise UserError(f"weight rules: {name} {shape}: {rule}: {error}") from None
        return found


def _check_new(rule: WeightRule, earlier: Sequence[WeightRule]) -> None:
    for other in earlier:
        same = (rule.candidate, rule.reference) == (other.candidate, other.reference)
        if same and (rule.candidate is not None or rule.ops == other.ops):
            raise SyntaxProblem(f"line {other.line} has the same names and comes first: this line is never used")


def _shapes(given: Mapping[str, Any]) -> dict[str, ArrayShape]:
    return {name: tuple(int(n) for n in getattr(value, "shape", value)) for name, value in given.items()}


def _numbered(name: str, variable: str, number: int) -> str:
    return name.replace(f"{{{variable}}}", str(number))


def _both_fit(one: ArrayShape, other: ArrayShape) -> ArrayShape:
    """The shape of a tensor of which two rules take a part: rows count from the front, all else is equal."""
    if one[1:] != other[1:]:
        raise OpError(f"it asks for shape {other} of a tensor that another rule takes to be {one}")
    return (max(one[0], other[0]), *one[1:]) if one else one


def _groups(rule: WeightRule, reference: Mapping[str, Any]) -> dict[str, tuple[str, ...]]:
    """{the reference's name with the gathered variable unfilled: the tensors that match, in numeric order}."""
    found: dict[str, list[tuple[tuple[bool, int, str], str]]] = {}
    for name in reference:
        if values := rule.reference.match(name):
            part = values.pop(str(rule.gathered))
            order = (not part.isdecimal(), int(part) if part.isdecimal() else 0, part)
            found.setdefault(rule.reference.fill(values), []).append((order, name))
    return {key: tuple(name for _, name in sorted(members)) for key, members in found.items()}


def _why_missing(name: str, shape: Any, tried: list[tuple[WeightRule, str]], reference: Mapping[str, Any]) -> str:
    if not tried:
        return f"{name} {shape} of the candidate has no rule: no left side matches it"
    rule, wanted = tried[0]
    hint = nearest(wanted, reference) if len(reference) < 10_000 else ""
    hint = hint if "did you mean" in hint else ""
    more = f", nor any of {len(tried) - 1} other rules" if len(tried) > 1 else ""
    return f"{name} {shape} of the candidate has no source: {rule} asks for {wanted}, which is not there{hint}{more}"
