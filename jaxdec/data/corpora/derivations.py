"""Samples, log-probabilities and the exact entropy of a probabilistic grammar.

The distribution is over texts of the start rule. `parse` reads the text alone and returns every derivation of it, so it
shows for each text whether the grammar is unambiguous there.
Random numbers come from `random.Random.random`, whose stream Python promises to keep for a seed.
"""

from __future__ import annotations

import bisect
import itertools
import math
import random
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from jaxdec.data.corpora.grammar import START, Draw, Expand, Field, Grammar, Item, Next, Swap, Write

Choices = tuple[int, ...]  # the alternatives and the entries drawn, in the order of the text


class ParseError(ValueError):
    """The text is not one of the grammar's, or has several derivations."""


def sample(grammar: Grammar, source: random.Random) -> tuple[str, Choices]:
    """A text and its derivation."""
    return _sample(grammar, _bounds(grammar), source)


def samples(grammar: Grammar, seed: int) -> Iterator[str]:
    """Independent texts without end, a pure function of the seed."""
    source, bounds = random.Random(seed), _bounds(grammar)
    while True:
        yield _sample(grammar, bounds, source)[0]


def _bounds(grammar: Grammar) -> dict[str, list[float]]:
    """The accumulated probabilities of each rule's alternatives."""
    return {name: list(itertools.accumulate(rule.probabilities)) for name, rule in grammar.rules.items()}


def _sample(grammar: Grammar, bounds: dict[str, list[float]], source: random.Random) -> tuple[str, Choices]:
    out: list[str] = []
    choices: list[int] = []
    values: dict[str, int] = {}
    agenda: list[Item] = [Expand(START)]  # what is still to be written, the next item last
    while agenda:
        item = agenda.pop()
        if isinstance(item, Write):
            out.append(item.text)
        elif isinstance(item, Field):
            out.append(item.texts[values[item.variable]])
        elif isinstance(item, Expand):
            rule = grammar.rules[item.rule]
            # `min`: the accumulated probabilities may end a rounding error below 1
            choice = min(bisect.bisect_right(bounds[item.rule], source.random()), len(rule.alternatives) - 1)
            choices.append(choice)
            agenda.extend(reversed(rule.alternatives[choice]))
        elif isinstance(item, Draw):
            free = _free(item, values)
            choice = free[int(source.random() * len(free))]
            choices.append(choice)
            values[item.variable] = choice
            out.append(item.texts[choice])
        else:
            values = _moved(item, values)
    return "".join(out), tuple(choices)


def _free(draw: Draw, values: dict[str, int]) -> list[int]:
    """The entries a draw may take. The variables it excludes must differ, or their number would not tell how many."""
    taken = {values[other] for other in draw.others}
    if len(taken) != len(draw.others):
        raise ValueError(f"{' and '.join(draw.others)} hold the same value: the entropy would count it twice")
    return [entry for entry in range(len(draw.texts)) if entry not in taken]


def _moved(item: Swap | Next, values: dict[str, int]) -> dict[str, int]:
    if isinstance(item, Swap):
        return {**values, item.first: values[item.second], item.second: values[item.first]}
    return {**values, item.variable: (values[item.variable] + 1) % item.size}


@dataclass(frozen=True)
class _Stack:
    """The items still to be matched; a linked list, since the branches of the search share its tail."""

    items: tuple[Item, ...]
    index: int
    below: _Stack | None

    def rest(self) -> _Stack | None:
        return _Stack(self.items, self.index + 1, self.below) if self.index + 1 < len(self.items) else self.below


def parse(grammar: Grammar, text: str) -> list[tuple[float, Choices]]:
    """Every derivation of the whole text: its log-probability (nats) and its choices.

    An exhaustive search by depth: each way to read the text that survives to its end is returned.
    """
    found: list[tuple[float, Choices]] = []
    # chosen is a linked list too: (previous, choice)
    agenda: list[tuple[int, _Stack | None, dict[str, int], float, tuple | None]] = [
        (0, _Stack((Expand(START),), 0, None), {}, 0.0, None)
    ]
    while agenda:
        position, stack, values, log_p, chosen = agenda.pop()
        while stack is not None:
            item = stack.items[stack.index]
            rest = stack.rest()
            if isinstance(item, Expand):
                rule = grammar.rules[item.rule]
                for choice, (items, p) in enumerate(zip(rule.alternatives, rule.probabilities, strict=True)):
                    if not isinstance(items[0], Write) or text.startswith(items[0].text, position):
                        agenda.append((position, _Stack(items, 0, rest), values, log_p + math.log(p), (chosen, choice)))
                break
            if isinstance(item, Draw):
                free = _free(item, values)
                for choice in free:
                    if text.startswith(item.texts[choice], position):
                        end = position + len(item.texts[choice])
                        bound = {**values, item.variable: choice}
                        agenda.append((end, rest, bound, log_p - math.log(len(free)), (chosen, choice)))
                break
            if isinstance(item, Write | Field):
                expected = item.text if isinstance(item, Write) else item.texts[values[item.variable]]
                if not text.startswith(expected, position):
                    break
                position += len(expected)
            else:
                values = _moved(item, values)
            stack = rest
        else:
            if position == len(text):
                found.append((log_p, _unlinked(chosen)))
    return found


def _unlinked(chosen: tuple | None) -> Choices:
    choices: list[int] = []
    while chosen is not None:
        chosen, choice = chosen
        choices.append(choice)
    return tuple(reversed(choices))


def log_probability(grammar: Grammar, text: str) -> float:
    """log p(text) in nats, from the text alone. ParseError where it has no derivation, or more than one."""
    found = parse(grammar, text)
    if len(found) != 1:
        raise ParseError(f"{len(found)} derivations for {text[:60]!r}: an unambiguous grammar's text has exactly one")
    return found[0][0]


def expected_counts(grammar: Grammar) -> dict[str, float]:
    """How often each rule is expanded in one text, on average: v = start + M^T v, M[r, q] the mean number of q in r."""
    names = list(grammar.rules)
    means = np.zeros((len(names), len(names)))
    for row, name in enumerate(names):
        rule = grammar.rules[name]
        for p, items in zip(rule.probabilities, rule.alternatives, strict=True):
            for item in items:
                if isinstance(item, Expand):
                    means[row, names.index(item.rule)] += p
    if max(abs(np.linalg.eigvals(means))) >= 1:
        raise ValueError("the grammar's texts have no finite mean length: lower the weight of a recursive alternative")
    start = np.array([float(name == START) for name in names])
    return dict(zip(names, np.linalg.solve(np.eye(len(names)) - means.T, start).tolist(), strict=True))


def entropy_and_length(grammar: Grammar) -> tuple[float, float]:
    """H(text) in nats and the mean number of characters, both exact.

    The grammar is unambiguous, so H(text) is the entropy of the derivation: by the chain rule the sum, over the
    rules, of how often each is expanded times the entropy of its choices. A draw is uniform over the entries left
    whatever came before, and a field's length has its list's mean, since every variable is uniform at every place.
    """
    entropy = length = 0.0
    for name, count in expected_counts(grammar).items():
        rule = grammar.rules[name]
        for p, items in zip(rule.probabilities, rule.alternatives, strict=True):
            entropy -= count * p * math.log(p)
            for item in items:
                if isinstance(item, Write):
                    length += count * p * len(item.text)
                elif isinstance(item, Field | Draw):
                    length += count * p * sum(map(len, item.texts)) / len(item.texts)
                if isinstance(item, Draw):
                    entropy += count * p * math.log(len(item.texts) - len(item.others))
    return entropy, length
