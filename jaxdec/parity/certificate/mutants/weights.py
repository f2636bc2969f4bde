"""Bugs in weights and constants: wrong values, or values that are not trained."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor, nn

from jaxdec.parity.adapters.reference import parameters_of
from jaxdec.parity.certificate.mutant import Mutant
from jaxdec.parity.certificate.mutants.altered import Change, altered
from jaxdec.parity.certificate.mutants.anatomy import Anatomy, spread

EPSILONS = ("eps", "epsilon", "variance_epsilon", "layer_norm_epsilon")


def valued(name: str, change: Callable[[Tensor], Tensor]) -> Change:
    """The parameter holds what `change` makes of it."""

    def set_value(model: nn.Module) -> None:
        parameter = parameters_of(model)[name]
        with torch.no_grad():
            parameter.copy_(change(parameter.clone()))

    return altered(set_value)


def weight_mutants(anatomy: Anatomy) -> Iterator[Mutant]:
    names = list(anatomy.matrices())
    square = [name for name in names if len(set(anatomy.matrices()[name].shape)) == 1]
    yield from seeded(anatomy, square, "square_transposed", lambda w: w.T)
    for name in spread(names, 3):
        rows = used_rows(anatomy, name)
        yield mutant_of(anatomy, name, "rows_exchanged_in", valued(name, lambda w, rows=rows: exchanged(w, rows)))
    for name in spread(names):
        row = used_rows(anatomy, name)[0]
        yield mutant_of(anatomy, name, "one_row_off", valued(name, lambda w, row=row: row_off(w, row)))
    yield from seeded(anatomy, names, "in_bfloat16", lambda w: w.to(torch.bfloat16).to(w.dtype))
    yield from seeded(anatomy, [name for name in names if name not in square], "columns_reversed", lambda w: w.flip(1))
    yield from of_vectors(anatomy)
    for name in spread([name for name in parameters_of(anatomy.model) if anatomy.counts(name)], 3):
        yield mutant_of(anatomy, name, "frozen", altered(lambda model, name=name: freeze(model, name)))
    yield from of_pairs(anatomy, names)
    yield from of_epsilons(anatomy)


def of_vectors(anatomy: Anatomy) -> Iterator[Mutant]:
    vectors = [name for name, each in parameters_of(anatomy.model).items() if each.ndim == 1]
    biases = [name for name in vectors if name.endswith("bias")]
    scales = [name for name in vectors if name not in biases and anatomy.counts(name)]
    yield from seeded(anatomy, [name for name in biases if anatomy.counts(name)], "dropped", torch.zeros_like)
    yield from seeded(anatomy, scales, "counted_from_one", lambda w: w + 1)
    yield from seeded(anatomy, scales, "left_at_one", torch.ones_like)


def of_pairs(anatomy: Anatomy, names: list[str]) -> Iterator[Mutant]:
    """The weights of two modules of one shape, exchanged."""
    matrices, seen = anatomy.matrices(), set()
    for first in names:
        others = [other for other in names if other != first and matrices[other].shape == matrices[first].shape]
        shape = tuple(matrices[first].shape)
        if others and shape not in seen:
            seen.add(shape)
            other = others[-1]
            if anatomy.order(other) < anatomy.order(first):
                first, other = other, first
            yield mutant_of(anatomy, first, f"exchanged_with:{other}", altered(swap(first, other)))


def of_epsilons(anatomy: Anatomy) -> Iterator[Mutant]:
    """At initial weights, where activations are small."""
    found = {
        path: name
        for path in anatomy.shapes
        for name in EPSILONS
        if isinstance(getattr(anatomy.model.get_submodule(path), name, None), float)
    }
    for path in spread(list(found), 3):

        def enlarge(model: nn.Module, path: str = path) -> None:
            module: Any = model.get_submodule(path)
            setattr(module, found[path], 10 * getattr(module, found[path]))

        about = "the epsilon of a norm ten times larger"
        yield Mutant(
            f"epsilon_times_ten:{path}", altered(enlarge), anatomy.where(path), weight_init="init", about=about
        )


def null_biases(anatomy: Anatomy) -> Iterator[Mutant]:
    """Biases that cannot change the output are no bugs when dropped; only a tap at their own module would see it."""
    biases = [name for name in anatomy.null if name.endswith("bias")]
    hidden = [name for name in biases if anatomy.names.get(name.rpartition(".")[0]) not in anatomy.tapped]
    for name in spread(hidden):
        reason = f"{name} is a null direction: its gradient is zero wherever it stands"
        about = "a bias dropped"
        yield Mutant(f"dropped:{name}", valued(name, torch.zeros_like), "", about=about, reason=reason)


def seeded(anatomy: Anatomy, names: list[str], label: str, change: Callable[[Tensor], Tensor]) -> Iterator[Mutant]:
    for name in spread(names):
        yield mutant_of(anatomy, name, label, valued(name, change))


def mutant_of(anatomy: Anatomy, name: str, label: str, apply: Change) -> Mutant:
    about = f"a parameter {label.partition(':')[0].replace('_', ' ')}"
    return Mutant(f"{label}:{name}", apply, anatomy.where(name.rpartition(".")[0]), about=about)


def used_rows(anatomy: Anatomy, name: str) -> list[int]:
    """Two rows that matter: of a table of tokens, ones that the batch holds."""
    used = anatomy.batch["tokens"].unique().tolist()
    rows = anatomy.matrices()[name].shape[0]
    return used[:2] if rows == anatomy.sides.pair.vocab_size and len(used) > 1 else [0, 1]


def exchanged(w: Tensor, rows: list[int]) -> Tensor:
    w[rows] = w[rows[::-1]].clone()
    return w


def row_off(w: Tensor, row: int) -> Tensor:
    """One row times 1.00001."""
    w[row] *= 1 + 1e-5
    return w


def freeze(model: nn.Module, name: str) -> None:
    parameters_of(model)[name].requires_grad_(False)


def swap(first: str, second: str) -> Callable[[nn.Module], None]:
    def change(model: nn.Module) -> None:
        a, b = (parameters_of(model)[name] for name in (first, second))
        with torch.no_grad():
            kept = a.clone()
            a.copy_(b)
            b.copy_(kept)

    return change
