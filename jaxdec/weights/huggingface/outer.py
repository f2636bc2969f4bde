"""Models of text and more whose decoder of text is one of ours: it is read by itself, and the rest is left out.

Their config has that of the decoder inside, and their names stand under other prefixes. They are not written: the
decoder is, as its own family.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from jaxdec.errors import UserError
from jaxdec.weights.huggingface.tables import Table, rule_lines

Prefixes = Mapping[str, str]  # what names of the decoder begin with -> what stands there instead


@dataclass(frozen=True)
class Outer:
    """A `model_type` around a family: how the decoder's names begin, among parameters and in files, and what of either
    belongs to the rest."""

    model_type: str
    text: str
    parameters: Prefixes
    files: Prefixes
    left_out: tuple[str, ...]

    def text_config(self, values: Mapping[str, Any]) -> Mapping[str, Any]:
        """The config of the decoder. Raises UserError where it is of another family, or not what stands beside it."""
        text = values.get("text_config")
        if not isinstance(text, Mapping) or text.get("model_type", self.text) != self.text:
            raise UserError(f"{self.model_type}: text_config is no config of a {self.text}, which is what can be read")
        tied = (values.get("tie_word_embeddings", True), text.get("tie_word_embeddings", True))
        if tied[0] != tied[1]:
            raise UserError(f"{self.model_type}: tie_word_embeddings is {tied[0]}, but {tied[1]} in text_config")
        return {**text, "model_type": self.text}

    def rules(self, parameters: Table, files: Table, *, tied: bool) -> str:
        """The rule table from names of parameters, or of files, to ours; a tied head may be in a file as well."""
        stored = renamed({**parameters, **files}, self.files)
        heads = (
            [renamed({"": "lm_head.weight"}, prefixes)[""] for prefixes in (self.parameters, self.files)]
            if tied
            else []
        )
        left_out = "".join(f"- <-? {name}\n" for name in (*self.left_out, *heads))
        return rule_lines([renamed(parameters, self.parameters), stored]) + left_out


def renamed(table: Table, prefixes: Prefixes) -> Table:
    """The table with what their names begin with exchanged."""

    def name(theirs: str) -> str:
        begin = next(each for each in prefixes if theirs.startswith(each))
        return prefixes[begin] + theirs.removeprefix(begin)

    return {ours: name(theirs) for ours, theirs in table.items()}


OUTER: Mapping[str, Outer] = {
    outer.model_type: outer
    for outer in (
        Outer(
            model_type="gemma3",
            text="gemma3_text",
            parameters={"model.": "model.language_model.", "lm_head.": "lm_head."},
            files={"model.": "language_model.model.", "lm_head.": "language_model.lm_head."},
            left_out=tuple(
                f"{prefix}{part}.{{*name}}"
                for prefix in ("model.", "")
                for part in ("vision_tower", "multi_modal_projector")
            ),
        ),
    )
}
