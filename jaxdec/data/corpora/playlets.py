"""The corpus `playlets`: short stage plays drawn from the grammar in data/playlets.grammar, and its exact entropy rate.

Plays are independent and each ends with an empty line, so the entropy rate of the text is H(play) / E[characters of
a play]: the lowest mean loss (nats per character) any model can have on it, however much it has read before.
"""

from __future__ import annotations

import functools
import itertools

from jaxdec.data.corpora.base import Corpus, Generated, one_text
from jaxdec.data.corpora.derivations import ParseError, entropy_and_length, samples
from jaxdec.data.corpora.derivations import log_probability as _log_probability
from jaxdec.data.corpora.embedded import embedded_text
from jaxdec.data.corpora.grammar import Grammar, read_grammar
from jaxdec.data.files import sha256

FILE = "playlets.grammar"
END = "\n\n"  # of each play
SEED = 1
CHARACTERS = 1_700_000  # about what 2,000 steps of 12 windows of 64 characters read


@functools.cache
def grammar() -> Grammar:
    return read_grammar(embedded_text(FILE), FILE)


def generate(characters: int = CHARACTERS, seed: int = SEED) -> str:
    """Whole plays, as many as it takes to reach that many characters. A pure function of the two numbers."""
    plays: list[str] = []
    length = 0
    for play in samples(grammar(), seed):
        plays.append(play)
        length += len(play)
        if length >= characters:
            break
    return "".join(plays)


def fingerprint(characters: int = CHARACTERS, seed: int = SEED) -> str:
    """A hash of what determines `generate`'s text."""
    return sha256(f"playlets {characters} {seed}\n{embedded_text(FILE)}".encode())


@functools.cache
def entropy_rate() -> float:
    """Nats per character, exact."""
    entropy, length = entropy_and_length(grammar())
    return entropy / length


def log_probability(text: str) -> float:
    """log p in nats of a text of whole plays, read from the text alone. ParseError where it is not one."""
    *plays, rest = text.split(END)
    if rest:
        raise ParseError(f"the text ends within a play: {rest[-60:]!r}")
    return sum(_log_probability(grammar(), play + END) for play in plays)


def sample_text(plays: int, seed: int = SEED) -> str:
    """The first plays of a seed."""
    return "".join(itertools.islice(samples(grammar(), seed), plays))


def corpus(name: str) -> Corpus:
    rate = entropy_rate()
    return one_text(name, fingerprint(), generate, lambda n: rate)


CORPUS = Generated("short stage plays from a grammar, 1.7 MB, with the exact entropy rate (generated)", corpus)
