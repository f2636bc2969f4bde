"""Random tables of weight rules, with the shapes of the models that they connect."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from hypothesis import strategies as st

from jaxdec.weights.rules import WeightPlan, WeightRules

Shape = tuple[int, ...]
small = st.integers(1, 4)


@dataclass
class Table:
    """Rules with the two sets of shapes that they connect. `fused` are the names whose pieces are picked one by one."""

    rules: list[str] = field(default_factory=list)
    candidate: dict[str, Shape] = field(default_factory=dict)
    reference: dict[str, Shape] = field(default_factory=dict)
    fused: list[str] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)

    @property
    def text(self) -> str:
        return "\n".join(self.rules)

    def plan(self) -> WeightPlan:
        return WeightRules.parse(self.text).plan(self.candidate, self.reference)

    def found(self) -> set[tuple[str, str]]:
        return {(problem.kind, problem.name) for problem in self.plan().problems}


def moved(draw: st.DrawFn, shape: Shape) -> tuple[str, Shape]:
    """Ops that keep every element, and the shape after them."""
    ops = []
    for op in draw(st.lists(st.sampled_from(["T", "reshape", "halves", "plus"]), max_size=3)):
        if op == "T" and len(shape) > 1:
            ops.append("T")
            shape = (*shape[:-2], shape[-1], shape[-2])
        elif op == "reshape":
            cut = draw(st.integers(0, len(shape)))
            shape = (int(np.prod(shape[:cut])), *shape[cut:])
            ops.append(f"reshape(-1,{','.join(map(str, shape[1:]))})" if shape[1:] else "reshape(-1)")
        elif op == "halves" and shape[0] % 4 == 0:
            ops.append(f"halves({draw(st.sampled_from([1, 2]))})")
        elif op == "plus":
            ops.append(f"plus({draw(st.integers(-3, 3))})")
    return " ".join(ops), shape


@st.composite
def tables(draw: st.DrawFn) -> Table:
    table = Table()
    for number in range(draw(st.integers(1, 5))):
        kind = draw(st.sampled_from(["plain", "fused", "rows", "stacked", "left out"]))
        ours, theirs = f"a{number}", f"h.{number}.t"
        shape = tuple(draw(st.lists(small, min_size=2, max_size=3)))
        if kind == "plain":
            ops, made = moved(draw, (shape[0] * 4, *shape[1:]))
            table.reference[theirs] = (shape[0] * 4, *shape[1:])
            table.candidate[f"{ours}.w"] = made
            table.rules.append(line(f"{ours}.w", theirs, ops))
        elif kind == "fused":
            count, axis = draw(st.integers(2, 3)), draw(st.integers(-len(shape), len(shape) - 1))
            whole = list(shape)
            whole[axis] *= count
            table.reference[theirs] = tuple(whole)
            table.fused.append(theirs)
            how = draw(st.sampled_from(["chunk", "every", "per_head"]))
            last = axis
            if how == "per_head":  # pieces of the first axis, whole in each of `last` heads
                last = draw(st.integers(1, 2))
                shape = (shape[0] * last, *shape[1:])
                table.reference[theirs] = (shape[0] * count, *shape[1:])
            for piece in draw(st.permutations(range(count))):
                ops, made = moved(draw, shape)
                table.candidate[f"{ours}.{piece}"] = made
                table.rules.append(line(f"{ours}.{piece}", theirs, f"{how}({piece},{count},{last}) {ops}"))
        elif kind == "rows":
            table.reference[theirs] = (shape[0] + 2, *shape[1:])
            table.candidate[ours] = shape
            table.rules += [f"{ours} <- {theirs} : rows(2)", f"- <- {theirs} : rows(0,2)"]
        elif kind == "stacked":
            count = draw(st.integers(1, 11))
            ops, made = moved(draw, (count, *shape))
            table.candidate[f"{ours}.{number}.up"] = made
            table.reference |= {f"{ours}.l{number}.experts.{e}.up": shape for e in range(count)}
            table.rules.append(line(f"{ours}.{{i}}.up", f"{ours}.l{{i}}.experts.{{e}}.up", ops))
        else:
            table.reference[theirs] = shape
            table.left_out.append(theirs)
            table.rules.append(f"- <- {theirs}")
    return table


def line(candidate: str, reference: str, ops: str) -> str:
    return f"{candidate} <- {reference} : {ops}" if ops.strip() else f"{candidate} <- {reference}"


def arrays_of(table: Table, dtype: type, seed: int) -> dict[str, np.ndarray]:
    """Any bits at all; where constants are added, small integers, for which that is exact."""
    rng = np.random.default_rng(seed)
    if "plus" in table.text:
        return {name: rng.integers(-64, 64, shape).astype(dtype) for name, shape in table.reference.items()}
    size = np.dtype(dtype).itemsize
    return {
        name: np.frombuffer(rng.bytes(int(np.prod(shape)) * size), dtype).reshape(shape)
        for name, shape in table.reference.items()
    }


def linears(*sizes: Shape) -> Table:
    """Linear layers of the given [in, out] sizes, each with a rule of its own."""
    return Table(
        [f"{n}.kernel <- {n}.weight : T" for n in range(len(sizes))],
        {f"{n}.kernel": shape for n, shape in enumerate(sizes)},
        {f"{n}.weight": shape[::-1] for n, shape in enumerate(sizes)},
    )
