"""Templates: an instruction, its input and a response as one text, and conversations of several turns.

A prompt ends where the response begins; behind the response stands the tokenizer's end token, which is no part of the
text. In a conversation, a response that is over is closed as the template says, and the next turn follows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from jaxdec.config.instruct import Alpaca, ChatML, Own, Phi3, Template
from jaxdec.data.corpora import instruct
from jaxdec.data.files import decode, read_bytes
from jaxdec.data.instructions.records import Turn
from jaxdec.errors import UserError

PLACES = ("{instruction}", "{input}", "{response}")


@dataclass(frozen=True)
class Form:
    """What a template writes. `turn` holds {instruction}, and {input} where there is a place for it, and ends where the
    response begins; `closing` follows a response that another turn follows; `system` holds {system}."""

    system: str
    turn: str
    closing: str

    def prompt(self, turns: Sequence[Turn], instruction: str, input: str = "", system: str = "") -> str:
        """The text that asks `instruction` after `turns`, up to the beginning of the response."""
        before = "".join(f"{self.asked(turn.instruction, turn.input)}{turn.response}{self.closing}" for turn in turns)
        return self.told(system) + before + self.asked(instruction, input)

    def told(self, system: str) -> str:
        return self.system.replace("{system}", system) if system else ""

    def asked(self, instruction: str, input: str) -> str:
        """One turn. A line of nothing but an empty {input} and words about it is left out; without a place for the
        input it follows the instruction."""
        text = self.turn
        if "{input}" not in text:
            instruction = f"{instruction}\n\n{input}" if input else instruction
        elif not input:
            text = "".join(line for line in text.splitlines(keepends=True) if not _of_input_alone(line))
        before, _, after = text.partition("{instruction}")
        return before.replace("{input}", input) + instruction + after.replace("{input}", input)


def _of_input_alone(line: str) -> bool:
    """Whether a line is about the input, and neither holds the instruction nor is where the response begins."""
    return "{input}" in line and "{instruction}" not in line and line.endswith("\n")


@dataclass(frozen=True)
class AlpacaForm(Form):
    """Alpaca's heading of the input stands on a line of its own, and goes with it."""

    def prompt(self, turns: Sequence[Turn], instruction: str, input: str = "", system: str = "") -> str:
        text = super().prompt(turns, instruction, input)
        return f"{system or instruct.PREAMBLE}\n\n{text}"

    def asked(self, instruction: str, input: str) -> str:
        return f"{instruct.request(instruction, input)}{instruct.RESPONSE}"


PHI3 = Form("<|system|>\n{system}<|end|>\n", "<|user|>\n{instruction}<|end|>\n<|assistant|>\n", "<|end|>\n")
CHATML = Form(
    "<|im_start|>system\n{system}<|im_end|>\n",
    "<|im_start|>user\n{instruction}<|im_end|>\n<|im_start|>assistant\n",
    "<|im_end|>\n",
)
ALPACA = AlpacaForm("", "", "\n\n")


def form_of(template: Template) -> Form:
    """What a template writes. Raises UserError for a file that is no template, and for an unknown kind."""
    match template:
        case Alpaca():
            return ALPACA
        case Phi3():
            return PHI3
        case ChatML():
            return CHATML
        case Own(path=path):
            return own_form(Path(path).expanduser())
        case _:
            raise UserError(f"stage.template is {template!r}: give a value of a kind in jaxdec/config/instruct.py")


def own_form(path: Path) -> Form:
    """The template in a file. What stands behind {response} closes it where another turn follows. Raises UserError
    where a place is missing, stands twice, or stands behind that of the response."""
    text = decode(read_bytes(path, "the template"), path, "the template").replace("\r\n", "\n")
    for place in PLACES:
        if text.count(place) > 1:
            raise UserError(f"the template {path} has {place} {text.count(place)} times: leave one")
    for place in ("{instruction}", "{response}"):
        if place not in text:
            raise UserError(
                f"the template {path} has no place for the {place[1:-1]}: write {place} where it belongs, as in "
                "'Question: {instruction}', a line 'Answer: {response}' below it"
            )
    turn, _, closing = text.partition("{response}")
    for place in ("{instruction}", "{input}"):
        if place in closing:
            raise UserError(f"the template {path} has {place} behind {{response}}: a response comes last")
    return Form("{system}\n", turn, closing or "\n")
