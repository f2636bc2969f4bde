"""Two synthetic tasks with a known answer: a string of letters, and the same letters reversed, or in order.

To reverse, the decoder must look at one place of the source for each letter that it writes, from the last to the first;
to sort, at all of them. The answer follows from the source, so the loss of a perfect model is zero.
"""

from __future__ import annotations

import random
import string
from collections.abc import Callable

TASKS: dict[str, Callable[[str], str]] = {
    "reverse": lambda source: source[::-1],
    "sort": lambda source: "".join(sorted(source)),
}
LETTERS = string.ascii_lowercase
SHORTEST, LONGEST = 3, 12
PAIRS = 20_000
SEED = 1


def generate(task: str) -> list[tuple[str, str]]:
    """(source, target) for PAIRS different sources; lengths are drawn evenly, then letters."""
    uniform, answer = random.Random(SEED).random, TASKS[task]  # Python promises to keep its stream
    sources: dict[str, None] = {}
    while len(sources) < PAIRS:
        length = SHORTEST + int(uniform() * (LONGEST - SHORTEST + 1))
        sources["".join(LETTERS[int(uniform() * len(LETTERS))] for _ in range(length))] = None
    return [(source, answer(source)) for source in sources]
