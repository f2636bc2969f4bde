"""What a run's model does with a text: the arrays of `look`, and names for what they are about."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING

import numpy as np

from jaxdec.config.model import AnyModel
from jaxdec.config.parts import Pattern
from jaxdec.errors import UserError
from jaxdec.inspection.labels import LONGEST_CHARACTER, text_labels, token_labels
from jaxdec.inspection.look import TOP, Look, look

if TYPE_CHECKING:
    from jaxdec.runs.loading import LoadedRun


@dataclass(frozen=True)
class Inspection(Look):
    """A look with names. labels: of the T tokens. names: of each id in `lens` and `next`; of a classifier, of its
    classes. patterns: by layer, which keys its queries may read. left_out: tokens of the text that were not read.
    """

    labels: tuple[str, ...]
    names: Mapping[int, str]
    patterns: tuple[str, ...]
    left_out: int
    classes: bool


def inspect_text(run: LoadedRun, text: str, *, top: int = TOP, most: int | None = None) -> Inspection:
    """Looks into a run's model while it reads a text. `most`: of a longer text the first so many tokens are read, and
    never more than the context; None: a text that is longer than the context is refused.

    Raises UserError for an empty text, one that the tokenizer does not know, and as `look` does.
    """
    if not text:
        raise UserError("the text is empty: there is nothing that the model could read")
    if most is not None and most < 1:
        raise UserError(f"most is {most}: give a whole number from 1")
    ids = run.tokenizer.encode(text)
    kept = ids if most is None else ids[: min(most, run.config.model.context)]
    seen = look(run.model, run.params, kept, top)
    classes = getattr(run.config.model, "classes", None)
    used = np.union1d(seen.lens.id, seen.next.id)
    names = token_labels(run.tokenizer, used, kept) if classes is None else class_names(run, classes)
    return Inspection(
        **{field.name: getattr(seen, field.name) for field in fields(Look)},
        labels=tuple(text_labels(run.tokenizer, ids[: len(kept) + LONGEST_CHARACTER])[: len(kept)]),
        names=names,
        patterns=patterns(run.config.model),
        left_out=len(ids) - len(kept),
        classes=classes is not None,
    )


def class_names(run: LoadedRun, classes: int) -> dict[int, str]:
    """The labels that a classifier was trained on; their numbers, where the run does not say."""
    labels = getattr(run.config.resolved_stage, "labels", None) or [f"class {each}" for each in range(classes)]
    return dict(enumerate(labels))


def patterns(config: AnyModel) -> tuple[str, ...]:
    """Of each layer, in words."""
    decoder = config.decoder
    return () if decoder is None else tuple(in_words(decoder.attention_of(n)) for n in range(decoder.layers))


def in_words(pattern: Pattern) -> str:
    """The kind of a pattern and the settings that it has.

    >>> from jaxdec.config.parts import Local
    >>> in_words(Local(window=16, sink=0.0))
    'local, window 16, sink'
    """
    values = {name: value for name, value in vars(pattern).items() if value is not None and name != "sink"}
    said = [pattern.kind, *(f"{name} {value:g}" for name, value in sorted(values.items()))]
    return ", ".join(said + (["sink"] if pattern.sink is not None else []))
