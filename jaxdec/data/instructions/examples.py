"""Instructions as token ids: split by seed, put into a template's form, and cut to what the model can read.

An entry is a document as `docs/packing.md` has it: the end token, the prompt, the response; behind it stands the end
token again, which is the last target. Each turn of a conversation is an entry of its own, whose prompt holds the turns
before it.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from jaxdec.config.instruct import Instruct
from jaxdec.config.run import DataConfig
from jaxdec.data.files import sha256
from jaxdec.data.instructions.records import Conversation, load_conversations
from jaxdec.data.instructions.templates import Form, form_of
from jaxdec.data.splits import split
from jaxdec.data.tokenizers.registry import Tokenizer, UnseenCharacter, train_tokenizer
from jaxdec.errors import UserError

FORMAT = 1  # part of the hash: of how texts become ids
SPLITS = ("training", "validation", "test")


@dataclass(frozen=True)
class Example:
    """What is asked and answered, and the text that asks it, up to the beginning of the response."""

    instruction: str
    input: str
    response: str
    prompt: str


@dataclass(frozen=True)
class Entry:
    """An example as ids, int32: the end token and the prompt, `start` of them, then the response. `whole`: the end
    token follows; a response that was cut has none."""

    example: Example
    ids: np.ndarray
    start: int
    whole: bool = True

    @property
    def prompt(self) -> np.ndarray:
        return self.ids[: self.start]


@dataclass(frozen=True)
class InstructionDataset:
    """Entries of each split. `end`: the end token; `left_out` and `cut`: how many entries of each split were too long;
    `hash`: equal hashes, equal ids."""

    entries: dict[str, list[Entry]]
    left_out: dict[str, int]
    cut: dict[str, int]
    tokenizer: Tokenizer
    end: int
    hash: str


def prepare_instructions(
    data: DataConfig,
    stage: Instruct,
    window: int,
    *,
    from_file: Path | None = None,
    tokenizer: Tokenizer | None = None,
) -> InstructionDataset:
    """The entries of `data.corpus`, none longer than `window` tokens. Without `tokenizer` one is trained on the texts
    of the training split. Raises UserError for a corpus, a template or a tokenizer that cannot be used."""
    for name in ("text_field", "limit_files"):
        if getattr(data, name) is not None:
            raise UserError(f"data.{name} means nothing to instructions: leave it out")
    form = form_of(stage.template)
    conversations = load_conversations(data.corpus, from_file)[: data.limit_documents]
    places = split(
        [f"{each.turns[0].instruction}\n{each.turns[0].input}" for each in conversations],
        validation=data.validation_fraction, test=stage.test_fraction, seed=stage.split_seed,
        corpus=data.corpus, what="instructions",
    )  # fmt: skip
    examples = {
        name: [example for place in found for example in examples_of(form, conversations[place])]
        for name, found in zip(SPLITS, places, strict=True)
    }
    if tokenizer is None:
        texts = (f"{each.prompt}{each.response}\n" for each in examples["training"])
        tokenizer = train_tokenizer(data.tokenizer, texts)
    end = end_of(tokenizer)
    encoded = {name: [encode(tokenizer, end, each) for each in found] for name, found in examples.items()}
    fitted = {name: [fit(each, window, stage.too_long) for each in found] for name, found in encoded.items()}
    entries = {name: [each for each in found if each is not None] for name, found in fitted.items()}
    for name in SPLITS:
        if examples[name] and not entries[name]:
            raise UserError(
                f"no {name} entry of {data.corpus} fits the window of {window} tokens: the shortest needs "
                f"{min(len(each.ids) for each in encoded[name])}. Give a larger --model.context"
            )
    texts = [[[each.prompt, each.response] for each in examples[name]] for name in SPLITS]
    return InstructionDataset(
        entries=entries,
        left_out={name: sum(each is None for each in found) for name, found in fitted.items()},
        cut={name: sum(not each.whole for each in found) for name, found in entries.items()},
        tokenizer=tokenizer,
        end=end,
        hash=sha256(json.dumps([FORMAT, texts, tokenizer.hash, window, stage.too_long]).encode()),
    )


def examples_of(form: Form, conversation: Conversation) -> list[Example]:
    """One example for each turn."""
    turns = conversation.turns
    return [
        Example(
            turn.instruction,
            turn.input,
            turn.response,
            form.prompt(turns[:number], turn.instruction, turn.input, conversation.system),
        )
        for number, turn in enumerate(turns)
    ]


def end_of(tokenizer: Tokenizer) -> int:
    """The token that ends a response. Raises UserError for a tokenizer that has none."""
    if tokenizer.end_of_text is None:
        raise UserError(
            f"the tokenizer ({tokenizer.kind}) has no <|endoftext|> to end a response with: take --data.tokenizer gpt2 "
            "or bpe"
        )
    return tokenizer.end_of_text


def encode(tokenizer: Tokenizer, end: int, example: Example) -> Entry:
    """Prompt and response are encoded one by one, as they are when the model answers. Raises UserError for a character
    that the tokenizer does not have."""
    try:
        prompt, response = tokenizer.encode(example.prompt), tokenizer.encode(example.response)
    except UnseenCharacter as error:
        raise UserError(f"the instruction {example.instruction[:60]!r}: {error}") from None
    return Entry(example, np.concatenate([np.array([end], np.int32), prompt, response]), 1 + len(prompt))


def fit(entry: Entry, window: int, too_long: str) -> Entry | None:
    """An entry that fits the window; None where it is left out, or nothing of its response would be left."""
    if len(entry.ids) <= window:
        return entry
    if too_long == "leave_out" or entry.start >= window:
        return None
    return Entry(entry.example, entry.ids[: window + 1], entry.start, whole=False)


def counts(entries: Sequence[Entry]) -> tuple[int, int]:
    """Tokens of all entries, and of their responses with the end."""
    return sum(len(each.ids) for each in entries), sum(len(each.ids) - each.start + each.whole for each in entries)
