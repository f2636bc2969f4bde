"""Known seams that explain why a pair differs, each with the residual that is left."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from jaxdec.parity.compare import tolerances
from jaxdec.parity.compare.comparison import Comparison
from jaxdec.parity.hints.accumulations import accumulations
from jaxdec.parity.hints.activations import activations
from jaxdec.parity.hints.attempts import tried
from jaxdec.parity.hints.attention_search import attentions
from jaxdec.parity.hints.causality import futures
from jaxdec.parity.hints.evidence import Evidence, merged
from jaxdec.parity.hints.experts import experts
from jaxdec.parity.hints.gradients import unused_biases
from jaxdec.parity.hints.losses import losses
from jaxdec.parity.hints.norms import norms
from jaxdec.parity.hints.optimizers import optimizers
from jaxdec.parity.hints.outputs import constants
from jaxdec.parity.hints.precision import casts
from jaxdec.parity.hints.scores import scores
from jaxdec.parity.hints.seams import seam_of
from jaxdec.parity.hints.sums import sums
from jaxdec.parity.report.report import Finding, Hint
from jaxdec.parity.setting import Setting
from jaxdec.parity.sides.stages import Sides


def hints(sides: Sides, comparisons: Sequence[Comparison], findings: Sequence[Finding], at: Setting) -> list[Hint]:
    """What would make the sides equal: in the modules that `findings` name, or in the training around them.

    Formulas that reproduce recorded values come first, since they say what each side computes; what none explains is
    tried by changing the candidate. Only what leaves a residual under the tolerance is a hint.
    """
    wrong = {comparison.stage for comparison in comparisons if not comparison.equal}
    if not findings or at.precision != "float64" or "weights" in wrong:
        return []
    found: list[Hint] = []
    if wrong & {"taps", "logits"}:
        found = of_modules(sides, at)
    found += of_training(sides, comparisons, wrong, at)
    assert all(seam_of(hint.seam) and hint.residual <= tolerances.SEMANTIC.limit for hint in found)
    return found


def of_modules(sides: Sides, at: Setting) -> list[Hint]:
    """Hints on faulty modules: each is explained by the first search that has an answer."""
    evidence, found = Evidence(sides, at), []
    for search in SEARCHES:
        explained = {hint.where for hint in found}
        for name in [name for name in evidence.faults if name not in explained]:
            found += search(evidence, name)
    found += tried(evidence, {hint.where for hint in found})
    if not any(hint.seam == "causal mask" for hint in found):
        found += futures(evidence)
    return merged(found)


def of_training(sides: Sides, comparisons: Sequence[Comparison], wrong: set[str], at: Setting) -> list[Hint]:
    """Hints on what turns logits into updates, where the model itself is equal."""
    if wrong & {"taps", "logits", "routing"}:
        return []
    if "loss" in wrong:
        return losses(sides, at)
    if "gradients" in wrong:
        return unused_biases(sides, at)
    found = accumulations(sides, comparisons, at) if "accumulation" in wrong else []
    return found + (optimizers(sides, at) if wrong & {"optimizer", "schedule", "trajectory"} else [])


SEARCHES: Sequence[Callable[[Evidence, str], list[Hint]]] = (
    casts,
    norms,
    activations,
    sums,
    scores,
    constants,
    experts,
    attentions,
)
