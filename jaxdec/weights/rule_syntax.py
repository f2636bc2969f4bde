"""One line of a rule table, `CANDIDATE <- REFERENCE : OP OP ...`, and the patterns of names in it.

`{i}` stands for text without a dot (one component of a dotted name, or a piece of one, as in "Block_{i}"), `{*path}`
for one or more whole components. The same variable stands for the same text on both sides. `<-?` is an optional rule.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

from jaxdec.weights.op_syntax import parse_ops
from jaxdec.weights.ops import Op, OpError

LEFT_OUT = "-"
_VARIABLE = re.compile(r"\{(\*?)([A-Za-z_]\w*)\}")


class SyntaxProblem(ValueError):
    """A line does not say a rule; the text says why."""


@dataclass(frozen=True)
class NamePattern:
    """A name with variables: "blocks.{i}.{*rest}.kernel"."""

    text: str

    def __post_init__(self) -> None:
        bare = _VARIABLE.sub("", self.text)
        if not self.text or re.search(r"[{}\s*]", bare):
            raise SyntaxProblem(
                f"'{self.text}' is not a name: parts between dots, {{i}} for one part, {{*path}} for one or more"
            )

    @cached_property
    def variables(self) -> dict[str, bool]:
        """Name of each variable, and whether it stands for several parts."""
        return {found[2]: bool(found[1]) for found in _VARIABLE.finditer(self.text)}

    @cached_property
    def _regex(self) -> re.Pattern[str]:
        seen: set[str] = set()

        def group(found: re.Match[str]) -> str:
            if found[2] in seen:
                return f"(?P={found[2]})"
            seen.add(found[2])
            return f"(?P<{found[2]}>{'[^.]+(?:[.][^.]+)*' if found[1] else '[^.]+'})"

        pieces, end = [], 0
        for found in _VARIABLE.finditer(self.text):
            pieces += [re.escape(self.text[end : found.start()]), group(found)]
            end = found.end()
        return re.compile("".join(pieces) + re.escape(self.text[end:]))

    def match(self, name: str) -> dict[str, str] | None:
        """What each variable stands for in `name`; None where the pattern does not fit all of it."""
        found = self._regex.fullmatch(name)
        return found.groupdict() if found else None

    def fill(self, values: Mapping[str, str]) -> str:
        """The name with variables replaced; those without a value stay as they are written."""
        return _VARIABLE.sub(lambda found: values.get(found[2], found[0]), self.text)


@dataclass(frozen=True)
class WeightRule:
    """A line of the table. `candidate` is None for `- <- REFERENCE`: left out on purpose; `optional` for `<-?`."""

    line: int
    text: str
    candidate: NamePattern | None
    reference: NamePattern
    ops: tuple[Op, ...]
    optional: bool = False

    @cached_property
    def gathered(self) -> str | None:
        """The variable on the reference's side alone, whose tensors are stacked."""
        if self.candidate is None:
            return None
        return next((name for name in self.reference.variables if name not in self.candidate.variables), None)

    def __str__(self) -> str:
        return f"line {self.line} '{self.text}'"


def parse_rule(line: int, text: str) -> WeightRule:
    """Raises SyntaxProblem with what is wrong."""
    left, arrow, right = text.partition("<-")
    if not arrow:
        raise SyntaxProblem("a rule is written 'CANDIDATE <- REFERENCE : OP OP ...'")
    optional = right.startswith("?")
    name, colon, ops = right.removeprefix("?").partition(":")
    if colon and not ops.strip():
        raise SyntaxProblem("no op stands after ':'")
    candidate = None if left.strip() == LEFT_OUT else NamePattern(left.strip())
    reference = NamePattern(name.strip())
    if candidate is not None:
        _check_variables(candidate, reference)
    try:
        return WeightRule(line, text.strip(), candidate, reference, parse_ops(ops), optional)
    except OpError as error:
        raise SyntaxProblem(str(error)) from None


def _check_variables(candidate: NamePattern, reference: NamePattern) -> None:
    for name, several in candidate.variables.items():
        if name not in reference.variables:
            raise SyntaxProblem(f"{{{name}}} is on the left side alone: the reference's name must follow from it")
        if reference.variables[name] != several:
            raise SyntaxProblem(f"{name} is written both {{{name}}} and {{*{name}}}")
    alone = [name for name in reference.variables if name not in candidate.variables]
    if len(alone) > 1 or any(reference.variables[name] for name in alone):
        raise SyntaxProblem(
            f"{' and '.join(alone)} are on the right side alone: one variable for one part can be stacked over"
            if len(alone) > 1
            else f"{{*{alone[0]}}} is on the right side alone: only a variable for one part can be stacked over"
        )
