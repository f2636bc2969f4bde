"""Whether a single line could stand in a text of a grammar, whatever comes before and after it."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from jaxdec.data.corpora.grammar import START, Draw, Expand, Field, Grammar, Item, Next, Swap, Write

Start = tuple[Item, ...]  # the items from the beginning of a line to the end of their alternative


def line_parser(grammar: Grammar) -> Callable[[str], bool]:
    """A function that says of a line, without its line break, whether some text of the grammar has it.

    What was drawn before the line is not known: a variable may have any value there, and keeps it to the end of the
    line. So "Ada: Bo, a Pie is a Pie." can be a line, and "Ada: Bo, a Pie is an Owl." can not.
    """
    starts = tuple(_line_starts(grammar))
    return lambda line: any(_reads(grammar, start, line) for start in starts)


def _line_starts(grammar: Grammar) -> Iterator[Start]:
    yield (Expand(START),)
    for rule in grammar.rules.values():
        for items in rule.alternatives:
            for place, item in enumerate(items):
                if isinstance(item, Write):
                    _, *later = item.text.split("\n")
                    for number, rest in enumerate(later):
                        tail = "\n".join([rest, *later[number + 1 :]])
                        if start := ((Write(tail),) if tail else ()) + items[place + 1 :]:
                            yield start


def _reads(grammar: Grammar, start: Start, line: str) -> bool:
    """Whether a derivation from these items writes `line`, and then ends its line or what is known of the text."""
    agenda: list[tuple[int, Start, dict[str, int]]] = [(0, start, {})]
    while agenda:
        position, items, values = agenda.pop()
        if not items:
            if position == len(line):
                return True
            continue
        item, rest = items[0], items[1:]
        if isinstance(item, Write):
            text, end, _ = item.text.partition("\n")
            if not line.startswith(text, position):
                continue
            position += len(text)
            if not end:
                agenda.append((position, rest, values))
            elif position == len(line):
                return True
        elif isinstance(item, Expand):
            agenda += [(position, alternative + rest, values) for alternative in grammar.rules[item.rule].alternatives]
        elif isinstance(item, Draw | Field):
            for entry in _entries(item, values):
                text = item.texts[entry]
                if line.startswith(text, position):
                    agenda.append((position + len(text), rest, {**values, item.variable: entry}))
        else:
            agenda.append((position, rest, _moved(item, values)))
    return False


def _entries(item: Draw | Field, values: dict[str, int]) -> list[int]:
    """What the variable may hold: anything where it was set on an earlier line."""
    if isinstance(item, Field):
        return [values[item.variable]] if item.variable in values else list(range(len(item.texts)))
    taken = {values[other] for other in item.others if other in values}
    return [entry for entry in range(len(item.texts)) if entry not in taken]


def _moved(item: Swap | Next, values: dict[str, int]) -> dict[str, int]:
    names = {item.first: item.second, item.second: item.first} if isinstance(item, Swap) else {}
    kept = {name: value for name, value in values.items() if name not in names}
    kept |= {name: values[other] for name, other in names.items() if other in values}
    if isinstance(item, Next) and item.variable in kept:
        kept[item.variable] = (kept[item.variable] + 1) % item.size
    return kept
