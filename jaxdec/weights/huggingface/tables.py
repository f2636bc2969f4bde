"""Tables of names, ours on the left, put together from parts: what becomes the lines of a weight rule table."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

Table = Mapping[str, str]  # our name -> theirs, with ops behind a colon


def under(ours: str, theirs: str, parts: Table) -> Table:
    """The table with a prefix on either side."""
    return {ours + left: theirs + right for left, right in parts.items()}


def when(condition: bool, parts: Table) -> Table:
    """The table where the condition holds, otherwise none."""
    return parts if condition else {}


def scales(modules: Table, ops: str = "") -> Table:
    """The parameters of RMS norms whose modules are given."""
    return {f"{ours}.scale": f"{theirs}.weight{ops}" for ours, theirs in modules.items()}


def layer_norms(modules: Table) -> Table:
    """The parameters of layer norms whose modules are given."""
    return {**scales(modules), **biases(modules)}


def kernels(modules: Table, ops: str = " : T") -> Table:
    """The matrices of modules: torch's Linear holds them as [out, in], ours are [in, out]."""
    return {f"{ours}.kernel": f"{theirs}.weight{ops}" for ours, theirs in modules.items()}


def biases(modules: Table) -> Table:
    """The biases of modules."""
    return {f"{ours}.bias": f"{theirs}.bias" for ours, theirs in modules.items()}


def rule_lines(tables: Iterable[Table]) -> str:
    """The lines of a rule table in which each parameter may come from any of the tables that name it."""
    tables = list(tables)
    return "".join(
        f"{ours} {'<-' if sum(ours in table for table in tables) == 1 else '<-?'} {theirs}\n"
        for table in tables
        for ours, theirs in table.items()
    )
