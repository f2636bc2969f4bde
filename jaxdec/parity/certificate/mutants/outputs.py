"""Bugs in what a module returns, or in the gradient that passes it."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from jaxdec.parity.certificate.mutant import Mutant
from jaxdec.parity.certificate.mutants.altered import reading, returning
from jaxdec.parity.certificate.mutants.anatomy import Anatomy, spread
from jaxdec.parity.certificate.mutants.rounded import rounded


def slightly_scaled(y: Tensor) -> Tensor:
    """Each channel times another factor within 1e-7 of one: a common factor would be lost in a norm."""
    return y * (1 + 1e-7 * torch.cos(torch.arange(y.shape[-1], dtype=y.dtype)))


def shifted(y: Tensor) -> Tensor:
    """Each token gets what belongs to the one before it."""
    return y.roll(1, -2)


def leaking(y: Tensor) -> Tensor:
    """A millionth of the next token."""
    return y + 1e-6 * y.roll(-1, -2)


def rows_exchanged(y: Tensor) -> Tensor:
    """Each row of the batch gets another one's."""
    return y.flip(0)


def last_channel_lost(y: Tensor) -> Tensor:
    return torch.cat([y[..., :-1], torch.zeros_like(y[..., -1:])], -1)


def channels_reversed(y: Tensor) -> Tensor:
    return y.flip(-1)


def dropped(y: Tensor) -> Tensor:
    """Every tenth element zero and the rest scaled up, as by a dropout that was left on."""
    keep = torch.arange(y.numel()).view(y.shape) % 10 != 0
    return y * keep / 0.9


def in_float32(y: Tensor) -> Tensor:
    return y + (rounded(y) - y).detach()


def sign_lost(y: Tensor) -> Tensor:
    return -y


def gradient_stopped(y: Tensor) -> Tensor:
    return y.detach()


def gradient_doubled(y: Tensor) -> Tensor:
    return y + (y - y.detach())


def gradient_reversed(y: Tensor) -> Tensor:
    return 2 * y.detach() - y


def gradient_of_the_first_row_alone(y: Tensor) -> Tensor:
    return torch.cat([y[:1], y[1:].detach()])


ANY: tuple[Callable[[Tensor], Tensor], ...] = (
    slightly_scaled,
    last_channel_lost,
    channels_reversed,
    dropped,
    sign_lost,
    gradient_doubled,
    gradient_reversed,
)
TOKENS = (shifted, leaking)  # where there are several
ROWS = (rows_exchanged, gradient_of_the_first_row_alone)


def output_mutants(anatomy: Anatomy) -> Iterator[Mutant]:
    leaves = anatomy.leaves
    for change in ANY:
        yield from seeded(anatomy, leaves, change, 3)
    # rows of a table are exact in float32 already
    yield from seeded(anatomy, [path for path in leaves if path not in anatomy.tables], in_float32, 3)
    yield from seeded(anatomy, leaves[:-1], gradient_stopped, 3)  # past the last one no gradient would be left
    several = [path for path in leaves if len(anatomy.shapes[path]) > 1 and anatomy.shapes[path][-2] > 1]
    for change in TOKENS:
        yield from seeded(anatomy, several, change)
    rows = anatomy.sides.pair.draw(0, 1)[0]["tokens"].shape[0]
    whole = [path for path in leaves if len(anatomy.shapes[path]) > 2 and anatomy.shapes[path][0] == rows > 1]
    for change in ROWS:
        yield from seeded(anatomy, whole, change)
    for path in spread(anatomy.tables):
        count = anatomy.model.get_submodule(path).weight.shape[0]  # type: ignore[union-attr]
        yield Mutant(
            f"next_row_read:{path}",
            reading(path, lambda ids, count=count: (ids + 1) % count),
            anatomy.where(path),
            about="an embedding reads the row after the right one",
        )


def seeded(anatomy: Anatomy, paths: list[str], change: Callable[[Tensor], Tensor], count: int = 2) -> Iterator[Mutant]:
    about = " ".join((change.__doc__ or change.__name__.replace("_", " ")).split()).rstrip(".")
    for path in spread(paths, count):
        yield Mutant(f"{change.__name__}:{path}", returning(path, change), anatomy.where(path), about=about)
