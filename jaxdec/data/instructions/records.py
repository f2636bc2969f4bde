"""Instructions and conversations out of files, with the file and the line in every error.

A record is Alpaca's (`instruction`, `output`, and `input` where there is one) or a chat: `messages` of `role` and
`content`, or `conversations` of `from` and `value`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jaxdec.data.corpora import instruct
from jaxdec.data.corpora.embedded import embedded_file
from jaxdec.data.corpora.records import Fields, read_records
from jaxdec.data.sources.files import files_of
from jaxdec.errors import UserError, nearest

EMBEDDED = "instructions.jsonl"
NAMES = ("instruct", "embedded")
ROLES = {"system": "system", "user": "user", "human": "user", "assistant": "assistant", "gpt": "assistant"}
CHATS = {"messages": ("role", "content"), "conversations": ("from", "value")}


@dataclass(frozen=True)
class Turn:
    """What is asked, and the response. `input`: what the instruction is about; empty where it says it all."""

    instruction: str
    input: str
    response: str


@dataclass(frozen=True)
class Conversation:
    """One turn or several. `system`: what the model is told beforehand; may be empty."""

    turns: tuple[Turn, ...]
    system: str = ""


def load_conversations(corpus: str, from_file: Path | None = None) -> list[Conversation]:
    """Those of `instruct`, of `embedded`, or of a file or folder. `from_file`: the user's copy of `instruct`.

    Raises UserError for an unknown name, and naming file and line for a record that is none.
    """
    return [conversation_of(fields) for path in paths_of(corpus, from_file) for fields in read_records(path)]


def paths_of(corpus: str, from_file: Path | None) -> list[Path]:
    """The files of a corpus of instructions."""
    if corpus == "instruct":
        instruct.CORPUS.load(from_file)
        return [instruct.CORPUS.obtain()]
    if from_file is not None:
        raise UserError(f"--from-file is for the corpus instruct, not for {corpus}: leave it out")
    if corpus == "embedded":
        return [Path(str(embedded_file(EMBEDDED)))]
    path = Path(corpus).expanduser()
    if not path.exists():
        raise UserError(
            f"there is neither a corpus of instructions nor a file called {corpus!r}{nearest(corpus, NAMES)}: give one "
            "of these names, or the path of a .json, .jsonl, .csv, .tsv or .parquet file of records with the fields "
            "instruction, input and output, or messages"
        )
    return files_of(path)


def conversation_of(fields: Fields) -> Conversation:
    """A record as a conversation. Raises UserError with its place."""
    for name, (role, content) in CHATS.items():
        if name in fields.values:
            return _chat(fields, name, role, content)
    about = fields.text("input", empty=True) if fields.values.get("input") is not None else ""
    return Conversation((Turn(fields.text("instruction"), about, fields.text("output")),))


def _chat(fields: Fields, name: str, role: str, content: str) -> Conversation:
    messages = list(_messages(fields, name, role, content))
    system = messages.pop(0)[1] if messages and messages[0][0] == "system" else ""
    if (
        len(messages) < 2
        or len(messages) % 2
        or [role for role, _ in messages] != ["user", "assistant"] * (len(messages) // 2)
    ):
        found = ", ".join(role for role, _ in messages) or "nothing"
        raise UserError(
            f"{fields.where()} has {name!r} of {found}: after a system message, if any, user and assistant take turns, "
            "and the assistant has the last word"
        )
    asked, answered = messages[::2], messages[1::2]
    return Conversation(tuple(Turn(a, "", b) for (_, a), (_, b) in zip(asked, answered, strict=True)), system)


def _messages(fields: Fields, name: str, role: str, content: str) -> Iterator[tuple[str, str]]:
    values: Any = fields.values[name]
    if not isinstance(values, list):
        raise UserError(f"{fields.where()} has a {name!r} that is no list of messages")
    for number, message in enumerate(values, start=1):
        place = f"{fields.where()}, message {number} of {name!r},"
        if not isinstance(message, Mapping) or not {role, content} <= message.keys():
            raise UserError(f"{place} is no object with {role!r} and {content!r}")
        if message[role] not in ROLES:
            raise UserError(f"{place} has the {role} {message[role]!r}{nearest(str(message[role]), ROLES)}")
        if not isinstance(message[content], str) or not message[content].strip():
            raise UserError(f"{place} has an empty {content!r}, or one that is not text")
        yield ROLES[message[role]], message[content]
