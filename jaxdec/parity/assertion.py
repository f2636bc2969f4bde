"""`assert_parity(pair)`: a whole check in one line of a test."""

from __future__ import annotations

from collections.abc import Sequence

from jaxdec.parity.pair import Pair
from jaxdec.parity.report.report import Report
from jaxdec.parity.setting import PrecisionName, WeightInit

SHOWN = 5  # findings and hints: the first ones say most


def assert_parity(
    pair: Pair,
    *,
    precisions: Sequence[PrecisionName] = ("float64",),
    weight_inits: Sequence[WeightInit] = ("init", "generic"),
    steps: int = 20,
    seed: int = 0,
    stages: Sequence[str] | None = None,
) -> Report:
    """Checks a pair and returns the report, for a test. The settings of JAX and torch are put back.

    precisions: "float64" asks whether the two are the same function; "float32" and "bfloat16" whether the candidate
        rounds no worse than the reference.
    weight_inits: "init" are the reference's own initial weights, "generic" drawn ones of order one; bugs that hide in
        one kind show in the other.
    steps: of the training run. seed: of weights, batches and prompts.
    stages: names of those to run, as ("taps", "logits"); None: all.

    Raises AssertionError where the two differ, with the first comparison over its tolerance, what is at fault, and what
    would remove it. Raises UserError where they cannot be compared, and for an unknown stage.
    """
    import jax

    from jaxdec.parity.check import check

    with jax.enable_x64(True), jax.default_matmul_precision("highest"), jax.numpy_rank_promotion("allow"):
        report = check(
            pair,
            steps=steps,
            seed=seed,
            weight_inits=weight_inits,
            precisions=precisions,
            stages=stages,
            say=lambda text: None,
        )
    if not report.equal:
        raise AssertionError(short(report))
    return report


def short(report: Report) -> str:
    """What a failed test prints: ten lines, or so."""
    from jaxdec.parity.report.terminal import finding_line, hint_line

    over = report.over
    if not over:
        return f"{report.pair}: nothing was compared, which proves nothing"
    lines = [
        f"{report.pair}: {len(over)} of {len(report.comparisons)} comparisons are over their tolerances, the first:"
    ]
    lines += [str(over[0])]
    lines += [f"finding: {finding_line(finding)}" for finding in report.findings[:SHOWN]]
    lines += [f"hint: {hint_line(hint)}" for hint in report.hints[:SHOWN]]
    return "\n".join(lines)
