"""A small language for probabilistic attribute grammars, and its reader.

A grammar is a text file of two kinds of sections. A list holds records whose fields are separated by `|`; drawing from
it is uniform. A rule holds alternatives, each a weight and a template; `play` is the start rule.

    [list person: name]          [rule play]
    Ada                          1  Enter {s:person.name} and {h:person-s.name}. / <talk>
    Hugo
                                 [rule talk]
    [list hour: name, bell]      3  {s.name}: {h.name}, it is {t:hour.name}. / {s~h}<talk>
    one | ding                   1  {s.name}: {t:hour.bell}! /
    two | ding dong

In a template ` / ` is a line break and
    <talk>               expands a rule
    {s:person.name}      draws s from the list `person` and writes its field `name`
    {h:person-s-t.name}  draws h from the entries that neither s nor t holds
    {s.name}             writes a field of the value s has; {s.Name} writes it with a capital
    {s~h}                exchanges two values; {t+} moves one on to the next entry of its list, the last to the first

Weights and draws never depend on the value of a variable, and every operation treats the entries of a list alike, up to
turning the list round. Hence each variable is uniform over its list at every place of a derivation, which is what
makes the entropy of the text computable in closed form (see `derivations`).
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from jaxdec.errors import UserError

START = "play"


@dataclass(frozen=True)
class Write:
    """Literal text."""

    text: str


@dataclass(frozen=True)
class Expand:
    """One alternative of a rule, drawn by weight."""

    rule: str


@dataclass(frozen=True)
class Field:
    """A field of the value that a variable has."""

    variable: str
    texts: tuple[str, ...]  # by entry of the variable's list


@dataclass(frozen=True)
class Draw:
    """A new value for a variable, uniform over the entries that no variable of `others` holds, and its text."""

    variable: str
    texts: tuple[str, ...]
    others: tuple[str, ...] = ()


@dataclass(frozen=True)
class Swap:
    """Two variables of one list exchange their values."""

    first: str
    second: str


@dataclass(frozen=True)
class Next:
    """A variable moves on to the next entry of its list, cyclically."""

    variable: str
    size: int


Item = Write | Expand | Field | Draw | Swap | Next


@dataclass(frozen=True)
class Rule:
    """Alternatives (templates) and their probabilities."""

    probabilities: tuple[float, ...]
    alternatives: tuple[tuple[Item, ...], ...]


@dataclass(frozen=True)
class Grammar:
    rules: dict[str, Rule]
    lists: dict[str, int]  # entries in each


@dataclass(frozen=True)
class _List:
    fields: tuple[str, ...]
    entries: tuple[tuple[str, ...], ...]


_SECTION = re.compile(r"\[(list|rule) (\w+)(?:: ([\w, ]+))?\]$")
_DIRECTIVE = re.compile(r"<(\w+)>|\{(\w+)(?:(:)(\w+)((?:-\w+)*))?\.(\w+)\}|\{(\w+)~(\w+)\}|\{(\w+)\+\}")
_ALTERNATIVE = re.compile(r"(\d+)\s+(\S.*)$")


def read_grammar(source: str, name: str) -> Grammar:
    """Reads the language above. UserError names the line of `name` that is wrong, or the rule or variable."""
    lists, templates = _sections(source, name)
    homes = _homes(templates, name)
    rules = {}
    for rule, alternatives in templates.items():
        weights = [weight for weight, _, _ in alternatives]
        items = tuple(_Template(lists, homes, f"{name}:{line}").read(text) for _, text, line in alternatives)
        rules[rule] = Rule(tuple(weight / sum(weights) for weight in weights), items)
    for rule in rules.values():
        for item in (item for alternative in rule.alternatives for item in alternative):
            if isinstance(item, Expand) and item.rule not in rules:
                raise UserError(f"{name}: <{item.rule}> names no rule: add a section [rule {item.rule}]")
    if START not in rules:
        raise UserError(f"{name}: there is no start rule: add a section [rule {START}]")
    return Grammar(rules, {key: len(value.entries) for key, value in lists.items()})


def _sections(source: str, name: str) -> tuple[dict[str, _List], dict[str, list[tuple[int, str, int]]]]:
    """The lists, and for each rule its (weight, template, line number)."""
    lists: dict[str, _List] = {}
    rules: dict[str, list[tuple[int, str, int]]] = {}
    kind = key = ""
    for number, line in enumerate(source.splitlines(), 1):
        line = line.strip()
        if not line or line.startswith("#"):
            continue
        if header := _SECTION.match(line):
            kind, key = header[1], header[2]
            if key in (lists if kind == "list" else rules):
                raise UserError(f"{name}:{number}: there is a second {kind} {key!r}: rename one")
            if kind == "list":
                lists[key] = _List(tuple(field.strip() for field in (header[3] or "name").split(",")), ())
            else:
                rules[key] = []
        elif kind == "list":
            entry = tuple(field.strip() for field in line.split("|"))
            if len(entry) != len(lists[key].fields):
                raise UserError(f"{name}:{number}: write the fields {', '.join(lists[key].fields)}, separated by |")
            lists[key] = _List(lists[key].fields, (*lists[key].entries, entry))
        elif kind == "rule" and (parts := _ALTERNATIVE.match(line)):
            if int(parts[1]) == 0:
                raise UserError(
                    f"{name}:{number}: the weight is 0: give a whole number from 1, or remove the alternative"
                )
            rules[key].append((int(parts[1]), parts[2], number))
        else:
            raise UserError(f"{name}:{number}: {line!r} is neither a section, an entry nor 'weight template'")
    for kind, sections in (("list", {k: v.entries for k, v in lists.items()}), ("rule", rules)):
        for key, content in sections.items():
            if not content:
                raise UserError(f"{name}: the {kind} {key!r} has no {'entries' if kind == 'list' else 'alternatives'}")
    return lists, rules


def _homes(templates: dict[str, list[tuple[int, str, int]]], name: str) -> dict[str, str]:
    """The list of each variable: the one it is drawn from, which must be one and the same everywhere."""
    homes: dict[str, str] = {}
    for alternatives in templates.values():
        for _, text, line in alternatives:
            for match in _DIRECTIVE.finditer(text):
                if match[3] and homes.setdefault(match[2], match[4]) != match[4]:
                    raise UserError(
                        f"{name}:{line}: {match[2]!r} is drawn from {match[4]} here, from another list elsewhere"
                    )
    return homes


@dataclass(frozen=True)
class _Template:
    """Reads one template; `place` (file and line) goes into the errors."""

    lists: dict[str, _List]
    homes: dict[str, str]
    place: str

    def read(self, text: str) -> tuple[Item, ...]:
        text = re.sub(r" /(?:(?= /)| |$)", "\n", text)
        items: list[Item] = []
        position = 0
        for match in _DIRECTIVE.finditer(text):
            self._literal(items, text[position : match.start()])
            items.append(self._item(match))
            position = match.end()
        self._literal(items, text[position:])
        return tuple(items)

    def _literal(self, items: list[Item], text: str) -> None:
        if stray := re.search(r"[<>{}]", text):
            raise UserError(
                f"{self.place}: {stray[0]!r} in {text!r} belongs to no directive: see jaxdec/data/grammar.py"
            )
        if text:
            items.append(Write(text))

    def _item(self, match: re.Match[str]) -> Item:
        rule, variable, draw, _, others, field, first, second, moved = match.groups()
        if rule:
            return Expand(rule)
        if first:
            if self._home(first) != self._home(second):
                raise UserError(
                    f"{self.place}: {first!r} and {second!r} are of two lists: only values of one can be exchanged"
                )
            return Swap(first, second)
        if moved:
            return Next(moved, len(self.lists[self._home(moved)].entries))
        home = self._home(variable)
        texts = self._texts(home, field)
        if not draw:
            return Field(variable, texts)
        excluded = tuple(others.split("-")[1:])
        if any(self._home(other) != home for other in excluded) or len(excluded) >= len(texts):
            raise UserError(f"{self.place}: {match[0]} must exclude variables of the list {home!r}, and leave an entry")
        if len(set(texts)) < len(texts):
            raise UserError(
                f"{self.place}: {match[0]} writes the same for two entries, so the text would not tell them apart"
            )
        return Draw(variable, texts, excluded)

    def _home(self, variable: str) -> str:
        home = self.homes.get(variable)
        if home is None or home not in self.lists:
            raise UserError(
                f"{self.place}: {variable!r} is drawn from no list: write {{{variable}:LIST.FIELD}} somewhere"
            )
        return home

    def _texts(self, home: str, field: str) -> tuple[str, ...]:
        known = self.lists[home]
        if field in known.fields:
            return tuple(entry[known.fields.index(field)] for entry in known.entries)
        if field.lower() in known.fields:
            texts = (entry[known.fields.index(field.lower())] for entry in known.entries)
            return tuple(text[:1].upper() + text[1:] for text in texts)
        raise UserError(f"{self.place}: the list {home!r} has no field {field!r}: it has {', '.join(known.fields)}")
