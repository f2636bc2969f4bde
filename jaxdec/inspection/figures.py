"""What stands out in an inspection: links between tokens, what each head reads, loads of experts; all JSON-able."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from jaxdec.errors import UserError
from jaxdec.inspection.look import Choices, Predictions
from jaxdec.inspection.text import Inspection


class Link(NamedTuple):
    """Query `query` of a head takes `weight` of its sum from key `key`."""

    layer: int
    head: int
    query: int
    key: int
    weight: float


class Head(NamedTuple):
    """What a head reads on average over the queries from the second on, as shares of their weight: the token itself,
    the one before it, the first one, the others, and the sink. distance: tokens between query and key, by weight."""

    layer: int
    head: int
    itself: float
    previous: float
    first: float
    others: float
    sink: float
    distance: float


def chosen(what: str, given: int | None, count: int) -> list[int]:
    """The layers or heads that are meant: one, or None for all. Raises UserError outside of them."""
    if given is None:
        return list(range(count))
    if not 0 <= given < count:
        raise UserError(f"--{what} {given}: this model has {what}s 0 to {count - 1}")
    return [given]


def strongest_links(seen: Inspection, layers: list[int], heads: list[int], count: int) -> list[Link]:
    """The strongest link of each head to an earlier token, the `count` strongest of them. The second token may only
    read two, so that links count from the third on, where there is one."""
    if seen.attention is None:
        return []
    links = []
    for layer in layers:
        for head in heads:
            weights_TS = np.tril(seen.attention[layer, head], -1)
            weights_TS[: min(2, len(weights_TS) - 1)] = 0.0
            query, key = np.unravel_index(int(np.argmax(weights_TS)), weights_TS.shape)
            links.append(Link(layer, head, int(query), int(key), float(weights_TS[query, key])))
    return sorted((link for link in links if link.weight > 0), key=lambda link: -link.weight)[:count]


def head_table(seen: Inspection, layers: list[int], heads: list[int]) -> list[Head]:
    """One row a head; nothing for a text of one token, which can only read itself."""
    if seen.attention is None or seen.sink is None or len(seen.tokens) < 2:
        return []
    count = len(seen.tokens)
    distance_TS = np.subtract.outer(np.arange(count), np.arange(count))
    rows = []
    for layer in layers:
        for head in heads:
            weights_TS, sink = seen.attention[layer, head].astype(np.float64), float(seen.sink[layer, head, 1:].mean())
            itself = float(np.diagonal(weights_TS)[1:].mean())
            previous = float(np.diagonal(weights_TS, -1).mean())
            first = float(weights_TS[2:, 0].sum() / (count - 1))  # of the second token, it is the one before
            others = 1 - itself - previous - first - sink
            distance = float((weights_TS[1:] * distance_TS[1:]).sum() / max(weights_TS[1:].sum(), 1e-12))
            rows.append(Head(layer, head, itself, previous, first, others, sink, distance))
    return rows


def loads(choices: Choices) -> list[int]:
    """How many choices each expert got, those without a slot among them."""
    return np.bincount(choices.expert.reshape(-1), minlength=choices.probability.shape[1]).tolist()


def figures(seen: Inspection, layers: list[int], heads: list[int], top: int, whole: bool) -> dict[str, Any]:
    """All of an inspection but the attention itself, which `whole` adds for the chosen layers and heads."""
    links = strongest_links(seen, layers, heads, top)
    result: dict[str, Any] = {
        "tokens": [{"id": int(token), "label": label} for token, label in zip(seen.tokens, seen.labels, strict=True)],
        "left_out": seen.left_out,
        "classes" if seen.classes else "next": _predicted(seen, seen.next),
        "lens": [_predicted(seen, Predictions(*(part[n] for part in seen.lens))) for n in range(len(seen.lens.id))],
        "links": [link._asdict() for link in links],
        "heads": [row._asdict() for row in head_table(seen, layers, heads)],
        "patterns": list(seen.patterns),
        "routing": {
            str(layer): {
                "load": loads(each),
                "expert": each.expert.tolist(),
                "gate": each.gate.tolist(),
                "dropped": each.dropped.tolist(),
            }
            for layer, each in seen.choices.items()
        },
    }
    if whole and seen.attention is not None:
        result["attention"] = {
            f"{layer}.{head}": seen.attention[layer, head].tolist() for layer in layers for head in heads
        }
    return result


def _predicted(seen: Inspection, found: Predictions) -> list[dict[str, Any]]:
    """One entry a position: the likeliest, and what comes next with its probability and how many are likelier."""
    entries = []
    for position in range(len(found.id)):
        best = [
            {"id": int(token), "label": seen.names[int(token)], "probability": float(probability)}
            for token, probability in zip(found.id[position], found.probability[position], strict=True)
        ]
        known = int(found.rank[position]) >= 0
        true = {"probability": float(found.true[position]), "rank": int(found.rank[position])} if known else None
        entries.append({"top": best, "true": true})
    return entries
