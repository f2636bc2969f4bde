"""1,100 instructions with answers, from Raschka's "Build a Large Language Model (From Scratch)", chapter 7."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from jaxdec.data.corpora.real import RealCorpus
from jaxdec.data.corpora.records import read_records

BOOK = "https://raw.githubusercontent.com/rasbt/LLMs-from-scratch/main"
PREAMBLE = "Below is an instruction that describes a task. Write a response that appropriately completes the request."
RESPONSE = "\n\n### Response:\n"  # what stands between the request and the response


@dataclass(frozen=True)
class Instruction:
    """`input` is what the instruction is about; empty where it says it all."""

    instruction: str
    input: str
    output: str

    @property
    def prompt(self) -> str:
        return prompt(self.instruction, self.input)

    @property
    def text(self) -> str:
        """The whole example, in Alpaca's form."""
        return f"{self.prompt}{RESPONSE}{self.output}"


def prompt(instruction: str, input: str) -> str:
    """What a model is asked, in the form of Alpaca (Taori et al. 2023) that the book uses: one preamble, with an input
    or without."""
    return f"{PREAMBLE}\n\n{request(instruction, input)}"


def request(instruction: str, input: str) -> str:
    """What is asked, without the preamble."""
    return f"### Instruction:\n{instruction}" + (f"\n\n### Input:\n{input}" if input else "")


def records(path: Path) -> Iterator[Instruction]:
    """The examples of a file with the fields instruction, input and output. Raises UserError that names the line."""
    for fields in read_records(path):
        yield Instruction(fields.text("instruction"), fields.text("input", empty=True), fields.text("output"))


def documents(path: Path) -> Iterator[str]:
    return (example.text for example in records(path))


CORPUS = RealCorpus(
    name="instruct",
    about="1,100 instructions with answers, in Alpaca's form",
    file="instruction-data.json",
    size=203_524,
    sha256="7e09a9af353722ca15c18bc580f093f9c39d3178335a75177319cb1e1d163944",
    mirrors=(f"{BOOK}/ch07/01_main-chapter-code/instruction-data.json",),
    licence="Apache-2.0",
    origin="rasbt/LLMs-from-scratch",
    documents=documents,
)
