"""Which of several choices a model finds most probable, and how often that is the right one.

With the log-probability l of a choice, `acc` takes the greatest l, `acc_norm` the greatest l / n: n counts the tokens
of the choice, or its characters. Of equal ones the first is taken. The standard error of a share p of n questions is
sqrt(p (1 - p) / (n - 1)).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, TypeVar

import numpy as np

from jaxdec.data.tokenizers.registry import Tokenizer
from jaxdec.errors import UserError
from jaxdec.evaluation.suites.continuations import Continuations, Request, Score, encode_pair

Item = TypeVar("Item")


@dataclass(frozen=True)
class Scored:
    """The choices of one question: log-probabilities in nats, tokens and characters, and which one is right."""

    logprobs: tuple[float, ...]
    tokens: tuple[int, ...]
    characters: tuple[int, ...]
    label: int


def share(hits: Sequence[bool]) -> tuple[float, float | None]:
    """The share of hits and its standard error; None of one hit alone."""
    count = len(hits)
    mean = sum(hits) / count
    return mean, math.sqrt(mean * (1 - mean) / (count - 1)) if count > 1 else None


def accuracies(questions: Sequence[Scored], *norms: str) -> dict[str, Any]:
    """`acc`, and `acc_norm_by_<norm>` for each of "tokens" and "characters" that is asked for, with standard errors."""
    sizes: dict[str, Callable[[Scored], Any]] = {"acc": lambda question: 1.0}
    for norm in norms:
        sizes[f"acc_norm_by_{norm}"] = lambda question, norm=norm: np.array(getattr(question, norm), float)
    found: dict[str, Any] = {}
    for name, size in sizes.items():
        hits = [int(np.argmax(np.array(each.logprobs) / size(each))) == each.label for each in questions]
        found[name], found[f"{name}_standard_error"] = share(hits)
    return found


def score_choices(
    scorer: Continuations, groups: Sequence[Sequence[Request]], choices: Sequence[Sequence[str]], labels: Sequence[int]
) -> tuple[list[Scored], int]:
    """The scored questions, and of how many the context was cut. `groups`: the requests of each question."""
    flat = scorer.score([request for group in groups for request in group])
    found, cut, place = [], 0, 0
    for group, texts, label in zip(groups, choices, labels, strict=True):
        scores: list[Score] = flat[place : place + len(group)]
        place += len(group)
        cut += any(score.cut for score in scores)
        logprobs, tokens = (tuple(getattr(score, name) for score in scores) for name in ("logprob", "tokens"))
        found.append(Scored(logprobs, tokens, tuple(map(len, texts)), label))
    return found, cut


def requests(tokenizer: Tokenizer, context: str, texts: Iterable[str], where: str) -> list[Request]:
    """Each text as a continuation of the context. Raises UserError, with the place, for what is no token."""
    try:
        return [encode_pair(tokenizer, context, text) for text in texts]
    except (UserError, ValueError) as error:
        raise UserError(f"{where}: {error}") from None


def first(items: Iterable[Item], limit: int | None) -> list[Item]:
    """All, or as many as the limit has."""
    return list(islice(items, limit))


def listed_examples(questions: Sequence[Scored]) -> list[dict[str, Any]]:
    """The scores of each question, for a file."""
    return [{"label": each.label, "logprobs": list(each.logprobs), "tokens": list(each.tokens)} for each in questions]
