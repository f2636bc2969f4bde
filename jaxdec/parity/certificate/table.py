"""A certificate as text and as a Markdown table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from jaxdec.parity.certificate.trial import KL_TOLERANCE, Trial


def markdown(trials: Sequence[Trial]) -> str:
    bugs = [row(trial) for trial in trials if not trial.mutant.reason]
    head = ["bug", "pair, weights", "caught by", "residual", "bisect names", "allclose", "KL"]
    lines = table(head, bugs)
    harmless = [trial for trial in trials if trial.mutant.reason]
    if harmless:
        rows = [
            [spoken(each), setting(each), f"**alarm: {each.stage}**" if each.caught else "no alarm", each.mutant.reason]
            for each in harmless
        ]
        lines += ["", *table(["change that is none", "pair, weights", "check", "why"], rows)]
    return "\n".join(lines) + "\n"


def row(trial: Trial) -> list[str]:
    named = f"`{trial.named}`" if trial.named else "-"
    if trial.caught and not trial.located:
        named += f" (not `{trial.mutant.where}`)"
    caught = trial.stage or "**not caught**"
    residual = f"{trial.residual:.1e}" if trial.residual < 1e300 else "missing"
    return [spoken(trial), setting(trial), caught, residual, named, verdict(trial.allclose), verdict(trial.kl)]


def spoken(trial: Trial) -> str:
    kind, _, place = trial.mutant.name.partition(":")
    return kind.replace("_", " ") + (f": `{place}`" if place else "")


def setting(trial: Trial) -> str:
    return f"{trial.mutant.pair or 'the pair itself'}, {trial.mutant.weight_init}"


def verdict(caught: bool | None) -> str:
    return {True: "caught", False: "passes", None: "-"}[caught]


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    return [" | ".join(["", *each, ""]).strip() for each in (head, ["---"] * len(head), *rows)]


def text(figures: Mapping[str, Any], trials: Sequence[Trial]) -> str:
    """One line for each mutant that did not go as it should, and the figures."""
    odd = [trial for trial in trials if not trial.right or (trial.caught and not trial.located)]
    bugs, honest = figures["bugs"], figures["honest_runs"]
    by = f"{figures['caught_by_allclose']} of {bugs} by allclose of float32 logits, {figures['caught_by_kl']} of {bugs}"
    lines = [str(trial) for trial in odd]
    lines += [
        f"caught     {figures['caught']} of {bugs} bugs",
        f"located    {figures['located']} of {bugs}",
        f"usual tolerances {by} by a KL divergence below {KL_TOLERANCE}",
        f"equivalent {figures['equivalent']} changes that are none, {figures['equivalent_caught']} taken for a bug",
    ]
    if honest["seeds"]:
        lines.append(
            f"honest     {honest['false_alarms']} false alarms in {honest['comparisons']:,} comparisons, "
            f"{honest['seeds']} seeds"
        )
    lines += honest["wrong"][:10]
    return "\n".join(lines)
