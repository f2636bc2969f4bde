"""Made-up reports of parity checks: one of equal models, and one with a fault in the second block."""

from __future__ import annotations

import dataclasses
import math

from jaxdec.parity.compare.comparison import Comparison
from jaxdec.parity.report.report import Finding, Hint, Report

PARTS = ("attention_norm", "attention.query", "attention.key", "attention", "mlp_norm", "mlp.up", "mlp")
TAPS = ("token_embed", *(f"blocks.{layer}.{part}" for layer in range(4) for part in PARTS), "norm", "head")
TOLERANCES = {"float64": 1e-11, "float32": 4.0, "bfloat16": 4.0}
STEPS = 100


def passing() -> Report:
    found = []
    for precision, tolerance in TOLERANCES.items():
        for weight_init in ("init", "generic"):
            unit = 2e-15 if precision == "float64" else 1.3
            taps = [(name, unit * (1 + 0.3 * math.sin(place))) for place, name in enumerate(TAPS)]
            where = (tolerance, weight_init, precision)
            found += [Comparison("taps", name, measured, *where) for name, measured in taps]
            found += [Comparison("logits", "logits", 2 * unit, *where), Comparison("loss", "loss", 0.0, *where)]
            found += [Comparison("gradients", f"{name}.kernel", 1.7 * measured, *where) for name, measured in taps[1:9]]
    steps = [Comparison("trajectory", f"loss of step {step}", 1e-15, 1e-11, "generic") for step in range(STEPS)]
    tokens = Comparison("greedy", "prompt 0", 0.0, 0.0, "generic", note="cached")
    losses = [4.2 * math.exp(-step / 60) for step in range(STEPS)]
    curves = {
        "reference loss": losses,
        "candidate loss": losses,
        "loss difference": [1e-15 * (1 + s) for s in range(STEPS)],
    }
    notes = (
        "null directions: blocks.*.attention.key.bias has an exactly zero gradient: softmax does not see a constant",
        "stage routing left out: the model has no router",
    )
    environment = {"jax": "0.10.2", "torch": "2.13.0", "Python": "3.11.9", "jax x64": "on", "XLA_FLAGS": "--a=<b>"}
    return Report("char-gpt", (*found, *steps, tokens), (), (), notes, curves, environment, 58.24)


def failing() -> Report:
    """From `blocks.1.mlp` on everything is off, the last loss is NaN, and a name is hostile to HTML and to markup."""
    good = passing()
    first = TAPS.index("blocks.1.mlp")

    def spoil(each: Comparison) -> Comparison:
        late = each.stage != "taps" or TAPS.index(each.name) >= first
        if each.precision != "float64" or not late or each.stage == "greedy":
            return each
        return dataclasses.replace(each, measured=3.2e-4 if each.stage != "loss" else math.nan)

    odd = Comparison("gradients", "<script>alert(1)</script>[bold]", math.inf, 1e-11, "generic", note="a & b")
    finding = Finding("semantic", "forward", "blocks.1.mlp", 3.2e-4, 1e-11, "its own code differs, not only its input")
    hint = Hint("gelu form", "blocks.1.mlp", 2e-15, "matches at 2e-15 with erf GELU")
    losses = list(good.curves["reference loss"])
    curves = {
        "reference loss": losses,
        "candidate loss": [loss * (1 + 1e-3 * step) for step, loss in enumerate(losses[:-1])] + [math.nan],
        "loss difference": [1e-3 * step for step in range(STEPS - 1)] + [math.nan],
    }
    return dataclasses.replace(
        good,
        pair="mine <b>",
        comparisons=(*map(spoil, good.comparisons), odd),
        findings=(finding,),
        hints=(hint,),
        curves=curves,
    )
