"""1,100 instructions with a chosen and a rejected answer, from Raschka's "Build a Large Language Model", chapter 7."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from jaxdec.data.corpora.instruct import BOOK, prompt
from jaxdec.data.corpora.real import RealCorpus
from jaxdec.data.corpora.records import read_records


@dataclass(frozen=True)
class Preference:
    """Two answers to one prompt, of which people prefer the chosen one."""

    prompt: str
    chosen: str
    rejected: str


def records(path: Path, asked: Callable[[str, str], str] = prompt) -> Iterator[Preference]:
    """The pairs of a file with the fields chosen and rejected, and prompt or else instruction and input, of which
    `asked` makes the prompt. Raises UserError that names the line."""
    for fields in read_records(path):
        if "prompt" in fields.values:
            question = fields.text("prompt")
        else:
            about = fields.text("input", empty=True) if fields.values.get("input") is not None else ""
            question = asked(fields.text("instruction"), about)
        yield Preference(question, fields.text("chosen"), fields.text("rejected"))


def documents(path: Path) -> Iterator[str]:
    return (f"{pair.prompt}\n\n### Response:\n{pair.chosen}" for pair in records(path))


CORPUS = RealCorpus(
    name="preference",
    about="1,100 instructions with a chosen and a rejected answer; as text: with the chosen one",
    file="instruction-data-with-preference.json",
    size=386_968,
    sha256="305315abf14f65fa42c01a0877572f832606571c2a7d49f152ac1d758b16756e",
    mirrors=(f"{BOOK}/ch07/04_preference-tuning-with-dpo/instruction-data-with-preference.json",),
    licence="Apache-2.0",
    origin="rasbt/LLMs-from-scratch",
    documents=documents,
)
