"""A certificate as text and as a Markdown table."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from jaxdec.parity.certificate.trial import KL_TOLERANCE, MutantTrial


def markdown(trials: Sequence[MutantTrial]) -> str:
    """Every bug, and every harmless change, as Markdown tables."""
    harmless = [trial for trial in trials if trial.mutant.reason]
    parts = [bug_table([trial for trial in trials if not trial.mutant.reason])]
    return "\n".join([*parts, harmless_table(harmless)] if harmless else parts)


def bug_table(bugs: Sequence[MutantTrial]) -> str:
    return table(["bug", "pair, weights", "caught by", "residual", "bisect names", "allclose", "KL"], map(row, bugs))


def harmless_table(trials: Sequence[MutantTrial]) -> str:
    rows = (
        [spoken(each), setting(each), f"**alarm: {each.stage}**" if each.caught else "no alarm", each.mutant.reason]
        for each in trials
    )
    return table(["harmless change", "pair, weights", "check", "why"], rows)


def row(trial: MutantTrial) -> list[str]:
    named = f"`{trial.named}`" if trial.named else "-"
    if trial.caught and not trial.located:
        named += f" (not `{trial.mutant.where}`)"
    caught = trial.stage or "**not caught**"
    residual = f"{trial.residual:.1e}" if trial.residual < 1e300 else "missing"
    return [spoken(trial), setting(trial), caught, residual, named, verdict(trial.allclose), verdict(trial.kl)]


def spoken(trial: MutantTrial) -> str:
    kind, _, place = trial.mutant.name.partition(":")
    return kind.replace("_", " ") + (f": `{place}`" if place else "")


def setting(trial: MutantTrial) -> str:
    return f"{trial.mutant.pair or 'the pair itself'}, {trial.mutant.weight_init}"


def verdict(caught: bool | None) -> str:
    return {True: "caught", False: "passes", None: "-"}[caught]


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    return "".join("| " + " | ".join(each) + " |\n" for each in (head, ["---"] * len(head), *rows))


def text(figures: Mapping[str, Any], trials: Sequence[MutantTrial]) -> str:
    """One line for each mutant that did not go as it should, and the figures."""
    odd = [trial for trial in trials if not trial.right or (trial.caught and not trial.located)]
    bugs, honest = figures["bugs"], figures["honest_runs"]
    by = f"{figures['caught_by_allclose']} of {bugs} by allclose of float32 logits, {figures['caught_by_kl']} of {bugs}"
    lines = [str(trial) for trial in odd]
    lines += [
        f"caught     {figures['caught']} of {bugs} bugs",
        f"located    {figures['located']} of {bugs}",
        f"usual      {by} by a KL divergence below {KL_TOLERANCE}",
        f"harmless   {figures['equivalent']} harmless changes, {figures['equivalent_caught']} taken for a bug",
    ]
    if honest["seeds"]:
        lines.append(
            f"honest     {honest['false_alarms']} false alarms in {honest['comparisons']:,} comparisons, "
            f"{honest['seeds']} seeds"
        )
    lines += honest["wrong"][:10]
    lines.append("complete   " + ("yes" if figures["complete"] else f"NO: {'; '.join(figures['faults'])}"))
    return "\n".join(lines)
