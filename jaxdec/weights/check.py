"""Is a weight plan a bijection, with the right shapes, and does every kernel have the layout that it should?"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np

from jaxdec.weights.entries import Entry, Problem, Resolved
from jaxdec.weights.ops import OpError, carry, transposes


def find_problems(plan: Resolved) -> tuple[Problem, ...]:
    """Missing parameters, rules without use, wrong shapes, elements that arrive never or twice, suspicious squares."""
    shapes = tuple(_wrong_shapes(plan))
    return (*plan.missing, *plan.unused, *shapes, *_coverage(plan), *_squares(plan))


def _wrong_shapes(plan: Resolved) -> Iterator[Problem]:
    for entry in plan.entries:
        sources = _listed([f"{name} {plan.reference_shapes[name]}" for name in entry.sources])
        try:
            made = plan.made_shape(entry)
        except OpError as error:
            yield Problem("shape", entry.name, f"{entry.name}: {entry.rule}, of {sources}: {error}")
            continue
        if made != entry.shape:
            swapped = len(made) > 1 and (*made[:-2], made[-1], made[-2]) == entry.shape
            advice = "; with the last two axes swapped (T) it would fit" if swapped else ""
            text = f"{entry.name} has shape {entry.shape}, and {entry.rule} makes {made} of {sources}{advice}"
            yield Problem("shape", entry.name, text)
    for entry in plan.left_out:
        try:
            plan.made_shape(entry)
        except OpError as error:
            yield Problem("shape", entry.sources[0], f"{entry.sources[0]}: {entry.rule}: {error}")


def _coverage(plan: Resolved) -> Iterator[Problem]:
    """Ids of all elements through all rules: which reference elements arrive never, or more than once?"""
    arrivals = {name: np.zeros(shape, np.int32) for name, shape in plan.reference_shapes.items()}
    users: dict[str, list[Entry]] = {name: [] for name in arrivals}
    unknown: set[str] = set()  # an op failed: the shape problem says it, and what arrives of these cannot be known
    for entry in (*plan.entries, *plan.left_out):
        try:
            counted = _arrivals(plan, entry)
        except OpError:
            unknown.update(entry.sources)
            continue
        for name, count in zip(entry.sources, counted, strict=True):
            arrivals[name] += count.reshape(arrivals[name].shape)
            users[name].append(entry)
    for name, count in arrivals.items():
        if name in unknown:
            continue
        if not users[name]:
            text = f"{name} {count.shape} of the reference goes nowhere: give it a rule, or write '- <- {name}'"
            yield Problem("unmapped", name, text)
        elif (never := count == 0).any():
            takers = _listed([user.name for user in users[name]])
            text = (
                f"{name}: {_some(never)} go nowhere ({takers} {'take' if len(users[name]) > 1 else 'takes'} the rest)"
            )
            yield Problem("unmapped", name, text)
        if (often := count > 1).any():
            yield Problem(
                "doubly mapped", name, f"{name}: {_some(often)} go to {_takers(plan, name, users[name], often)}"
            )


def _arrivals(plan: Resolved, entry: Entry) -> list[np.ndarray]:
    """How often each element of each source arrives in one entry, flat."""
    sizes = [int(np.prod(plan.reference_shapes[name])) for name in entry.sources]
    starts = np.cumsum([0, *sizes])
    dtype = np.int32 if starts[-1] < 2**31 else np.int64
    plan.made_shape(entry)  # says of tensors that cannot be stacked that they cannot
    first = dict(zip(entry.sources, starts[:-1], strict=True))

    def ids(name: str) -> np.ndarray:
        shape = plan.reference_shapes[name]
        return (np.arange(np.prod(shape), dtype=dtype) + dtype(first[name])).reshape(shape)

    arrived = carry(entry.rule.ops, plan.source(entry, ids), constants=False)
    return np.split(np.bincount(arrived.ravel(), minlength=int(starts[-1])), starts[1:-1])


def _takers(plan: Resolved, name: str, users: list[Entry], often: np.ndarray) -> str:
    """The parameters that take the first of the elements that arrive more than once."""
    element = int(np.argmax(often))
    takers = [user for user in users if _arrivals(plan, user)[user.sources.index(name)][element]]
    return _listed(
        [user.name if user in plan.entries else f"what is left out by {user.rule}" for user in takers], " and "
    )


def _squares(plan: Resolved) -> Iterator[Problem]:
    """A square kernel fits either way round: not its shape but the table's other kernels, or `layouts`, can tell."""
    kernels = [entry for entry in plan.entries if _is_kernel(entry)]
    oblong = {transposes(entry.rule.ops) for entry in kernels if entry.shape[0] != entry.shape[1]}
    for entry in kernels:
        source = entry.sources[0]
        layout = plan.layouts.get(source)
        if entry.shape[0] != entry.shape[1] or (layout is None and len(oblong) != 1):
            continue
        expected = layout == "out_in" if layout else next(iter(oblong))
        if transposes(entry.rule.ops) != expected:
            does = "does not transpose" if expected else "transposes"
            why = (
                f"its layout is {layout}"
                if layout
                else f"every kernel that is not square {'is' if expected else 'is not'}"
            )
            text = f"{entry.name} {entry.shape} is square and {entry.rule} {does} {source}, but {why}"
            yield Problem("square", entry.name, text + ("" if layout else " transposed"))


def _is_kernel(entry: Entry) -> bool:
    """Flax's name, whose layout is [in, out], for torch's."""
    leaf = entry.sources[0].rpartition(".")[2]
    return entry.name.rpartition(".")[2] == "kernel" and leaf == "weight" and len(entry.shape) == 2


def _some(which: np.ndarray) -> str:
    at = [int(i) for i in np.unravel_index(int(np.argmax(which)), which.shape)]
    return f"{int(which.sum())} of {which.size} elements, the first at {at},"


def _listed(names: Iterable[str], last: str = ", ") -> str:
    names = list(names)
    return last.join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
