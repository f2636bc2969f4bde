"""Changes to the candidate after which it is run again: what a trial repairs, it explains.

All modules of the candidate run on the reference's values, so one run tries a change in every layer, and a module's
residual is its own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from time import perf_counter
from typing import Any

import numpy as np

from jaxdec.parity.compare import tolerances
from jaxdec.parity.hints.evidence import Evidence
from jaxdec.parity.hints.identify import size
from jaxdec.parity.locate.replay import given
from jaxdec.parity.report.report import Hint
from jaxdec.parity.setting import Arrays
from jaxdec.parity.sides.recording import Forward

SECONDS = 4.0  # for all trials of a check; a large model gets fewer


@dataclass(frozen=True)
class Trial:
    """`params` and `outputs` (of modules) that take the place of the candidate's; `undo` is applied, by the name of a
    module, to what arrives there before it is compared."""

    seam: str
    text: str  # ends the sentence "matches at 2e-15 with ..."
    params: Arrays = field(default_factory=dict)
    outputs: Arrays = field(default_factory=dict)
    undo: Mapping[str, Callable[[np.ndarray], np.ndarray]] = field(default_factory=dict)


def tried(evidence: Evidence, trials: Iterator[Trial], explained: set[str]) -> list[Hint]:
    """Hints of the trials that repair a faulty module; the search ends when all are explained or time is up."""
    hints: list[Hint] = []
    open_, started = {name for name in evidence.faults if name not in explained}, perf_counter()
    for trial in trials:
        if not open_ or perf_counter() - started > SECONDS:
            break
        errors = evidence.errors(run(evidence, trial))
        for name in [name for name in evidence.faults if name in open_ and errors[name] <= tolerances.SEMANTIC.limit]:
            hints.append(Hint(trial.seam, name, errors[name], f"matches at {size(errors[name])} with {trial.text}"))
            open_.discard(name)
    return hints


def run(evidence: Evidence, trial: Trial) -> Forward:
    inputs, outputs = given(evidence.theirs)
    ours = evidence.sides.candidate.replay(evidence.at, inputs, {**outputs, **trial.outputs}, changed=trial.params)
    entered: dict[str, Any] = dict(ours.entered)
    for name, undo in trial.undo.items():
        entered[name] = undo(entered[name])
    return ours._replace(entered=entered)
