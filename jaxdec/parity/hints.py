"""Known seams whose repair makes a failed pair equal, each with the residual that is left."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

from jaxdec.parity import bars
from jaxdec.parity.comparison import Comparison
from jaxdec.parity.pair import Setting
from jaxdec.parity.report import Finding, Hint
from jaxdec.parity.seams import seam_of
from jaxdec.parity.stages import Sides

FORWARD = {"taps", "logits", "routing", "loss", "gradients"}


def hints(sides: Sides, comparisons: Sequence[Comparison], findings: Sequence[Finding], at: Setting) -> list[Hint]:
    """What would make the sides equal: in the modules that `findings` name, or in the training around them.

    Formulas that reproduce recorded values come first, since they say what each side computes; what none explains is
    tried by changing the candidate. Only what leaves a residual under the bar is a hint.
    """
    wrong = {comparison.stage for comparison in comparisons if not comparison.equal}
    if not findings or at.precision != "float64" or "weights" in wrong:
        return []
    found: list[Hint] = []
    if wrong & {"taps", "logits"}:
        found = of_modules(sides, at)
    found += of_training(sides, comparisons, wrong, at)
    assert all(seam_of(hint.seam) and hint.residual <= bars.SEMANTIC.limit for hint in found)
    return found


def of_modules(sides: Sides, at: Setting) -> list[Hint]:
    from jaxdec.parity.repairs.activations import activations
    from jaxdec.parity.repairs.attention_search import attentions
    from jaxdec.parity.repairs.causality import futures
    from jaxdec.parity.repairs.evidence import Evidence, merged
    from jaxdec.parity.repairs.experts import experts
    from jaxdec.parity.repairs.norms import norms
    from jaxdec.parity.repairs.outputs import constants
    from jaxdec.parity.repairs.param_trials import param_trials
    from jaxdec.parity.repairs.precision import casts
    from jaxdec.parity.repairs.scores import scores
    from jaxdec.parity.repairs.sums import sums
    from jaxdec.parity.repairs.trials import tried
    from jaxdec.parity.repairs.value_trials import value_trials

    evidence, found = Evidence(sides, at), []
    for search in (casts, norms, activations, sums, scores, constants, experts, attentions):
        explained = {hint.where for hint in found}
        found += [hint for hint in search(evidence) if hint.where not in explained]
    explained = {hint.where for hint in found}
    found += tried(evidence, itertools.chain(value_trials(evidence), param_trials(evidence)), explained)
    if not any(hint.seam == "causal mask" for hint in found):
        found += futures(evidence)
    return merged(found)


def of_training(sides: Sides, comparisons: Sequence[Comparison], wrong: set[str], at: Setting) -> list[Hint]:
    """Hints on what turns logits into updates, where the model itself is equal."""
    from jaxdec.parity.repairs.accumulations import accumulations
    from jaxdec.parity.repairs.gradients import unused_biases
    from jaxdec.parity.repairs.losses import losses
    from jaxdec.parity.repairs.optimizers import optimizers

    if wrong & {"taps", "logits", "routing"}:
        return []
    if "loss" in wrong:
        return losses(sides, at)
    if "gradients" in wrong:
        return unused_biases(sides, at)
    found = accumulations(sides, comparisons, at) if "accumulation" in wrong else []
    return found + (optimizers(sides, at) if wrong & {"optimizer", "schedule", "trajectory"} else [])
