"""Problems with answers that can be checked, as token ids: what a model is asked, and what its answer is worth."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from jaxdec.config.reinforce import Reward
from jaxdec.config.run import DataConfig
from jaxdec.data.corpora.base import Problem
from jaxdec.data.corpora.registry import GENERATED, corpus_of
from jaxdec.data.files import sha256
from jaxdec.data.tokenizers.registry import Tokenizer
from jaxdec.errors import UserError

END = "\n"  # what ends an answer


@dataclass(frozen=True)
class AskedProblems:
    """`train` to learn from, `validation` to be judged by; `prompts` holds the token ids of each prompt.

    end: the token that ends an answer. answer_tokens: of the longest right answer, with its end.
    """

    train: list[Problem]
    validation: list[Problem]
    prompts: dict[str, np.ndarray]
    end: int
    answer_tokens: int
    tokenizer: Tokenizer
    hash: str

    @property
    def prompt_tokens(self) -> int:
        """Of the longest prompt."""
        return max(map(len, self.prompts.values()))


def load_problems(data: DataConfig, tokenizer: Tokenizer, from_file: Path | None) -> AskedProblems:
    """The problems of the corpus. Raises UserError for one whose answers cannot be checked, and for a tokenizer that
    does not know its characters or has no token of its own for a newline."""
    corpus = corpus_of(data, from_file)
    if corpus.problems is None:
        known = [name for name, each in GENERATED.items() if each.load(name).problems is not None]
        raise UserError(
            f"the corpus {data.corpus} has no answers that can be checked: give --data.corpus "
            f"{', '.join(known[:-1])} or {known[-1]}"
        )
    train, validation = corpus.problems().split(data.validation_fraction)
    try:
        ends = tokenizer.encode(END)
        different = dict.fromkeys([*train, *validation])
        encoded = tokenizer.encode_all([problem.prompt for problem in different])
        longest = max(len(ids) for ids in tokenizer.encode_all([problem.answer for problem in different]))
    except UserError as error:
        raise error.within(f"the corpus {data.corpus}, in the tokens of init_from: {error}") from None
    if len(ends) != 1 or tokenizer.decode(ends) != END:
        raise UserError(
            f"an answer ends with its line, and the tokenizer ({tokenizer.kind}) has no token for a newline: start "
            "from a model with another, as --data.tokenizer char gives one"
        )
    prompts = {problem.prompt: ids for problem, ids in zip(different, encoded, strict=True)}
    identity = sha256(f"{corpus.hash} {data.validation_fraction} {tokenizer.hash}".encode())
    return AskedProblems(train, validation, prompts, int(ends[0]), longest + 1, tokenizer, identity)


def answer_text(problems: AskedProblems, ids: Sequence[int] | np.ndarray) -> str | None:
    """The text of what was sampled, without its end; None where it did not end, or holds an id that is no token."""
    ids = np.asarray(ids)
    if not ids.size or ids[-1] != problems.end or ids.max() >= problems.tokenizer.vocab_size:
        return None
    return problems.tokenizer.decode(ids[:-1])


def reward_of(text: str | None, answer: str, reward: Reward) -> float:
    """What an answer is worth, 0 to 1. partial: the share of characters in their place, of the longer of the two."""
    if text is None:
        return 0.0
    match reward:
        case "exact":
            return float(text == answer)
        case "partial":
            right = sum(ours == theirs for ours, theirs in zip(text, answer, strict=False))
            return right / max(len(text), len(answer), 1)
        case _:
            raise UserError(f"stage.reward is {reward!r}: give exact or partial")
