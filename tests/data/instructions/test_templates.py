"""Templates: Alpaca's is the one of the corpus, and a file of one's own must have a place for the response."""

from __future__ import annotations

from pathlib import Path

import pytest

from jaxdec.config.instruct import Alpaca, ChatML, Own, Phi3
from jaxdec.data.corpora.instruct import Instruction
from jaxdec.data.instructions.records import Turn
from jaxdec.data.instructions.templates import form_of
from jaxdec.errors import UserError

TURN = Turn("Add.", "", "3")


def own(folder: Path, text: str) -> Own:
    (folder / "form.txt").write_text(text)
    return Own(str(folder / "form.txt"))


@pytest.mark.parametrize("input", ["", "1 and 2"])
def test_alpaca_is_the_form_of_the_corpus(input: str) -> None:
    assert form_of(Alpaca()).prompt((), "Add.", input) + "3" == Instruction("Add.", input, "3").text


def test_turns_follow_each_other() -> None:
    chat = form_of(ChatML()).prompt([TURN], "And 2 more?", "", "Be kind.")
    assert chat == (
        "<|im_start|>system\nBe kind.<|im_end|>\n<|im_start|>user\nAdd.<|im_end|>\n<|im_start|>assistant\n3<|im_end|>\n"
        "<|im_start|>user\nAnd 2 more?<|im_end|>\n<|im_start|>assistant\n"
    )
    phi = form_of(Phi3()).prompt([], "Add.", "1 2")
    assert phi == "<|user|>\nAdd.\n\n1 2<|end|>\n<|assistant|>\n"
    alpaca = form_of(Alpaca()).prompt([TURN], "More.", system="Be kind.")
    assert alpaca.startswith("Be kind.\n\n### Instruction:\nAdd.\n\n### Response:\n3\n\n### Instruction:\nMore.")


def test_a_file_of_one_s_own(tmp_path: Path) -> None:
    form = form_of(own(tmp_path, "Q: {instruction}\nAbout: {input}\nA: {response}\n--\n"))
    assert form.prompt((), "{input}?", "") == "Q: {input}?\nA: ", "what a user writes is no place"
    assert form.prompt([TURN], "Add.", "1") == "Q: Add.\nA: 3\n--\nQ: Add.\nAbout: 1\nA: "
    assert form_of(own(tmp_path, "{instruction} {input} -> {response}")).prompt((), "Add.", "") == "Add.  -> "


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("Q: {instruction}\nA:", "no place for the response: write {response}"),
        ("{response}", "no place for the instruction"),
        ("{instruction} {response} {response}", "{response} 2 times"),
        ("{instruction} {response} {input}", "{input} behind {response}"),
        ("{response} {instruction}", "{instruction} behind {response}"),
    ],
)
def test_a_template_that_cannot_work_is_refused(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(UserError) as error:
        form_of(own(tmp_path, text))
    assert said in str(error.value) and "form.txt" in str(error.value)


def test_a_missing_file_is_named() -> None:
    with pytest.raises(UserError, match=r"the template nowhere\.txt does not exist"):
        form_of(Own("nowhere.txt"))
