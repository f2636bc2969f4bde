"""A pair: a PyTorch reference, a JAX candidate, and how their names correspond."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from jaxdec.errors import UserError
from jaxdec.parity.compare.comparison import Comparison
from jaxdec.parity.setting import Arrays, PairBatch, Setting

if TYPE_CHECKING:
    from jaxdec.parity.adapters.candidate import Candidate
    from jaxdec.parity.adapters.reference import Reference

CompareStage = Callable[[Any, Setting], Sequence[Comparison]]  # given `sides.stages.Sides`
SAME_NAMES = "{*name} <- {*name}"


@dataclass(frozen=True, eq=False)
class Pair:
    """A reference and a candidate, the names of one under the names of the other, and what both are given.

    name: what reports call the pair.
    reference, candidate: the PyTorch side and the JAX side.
    vocab_size: tokens are drawn from 0 to vocab_size - 1.
    context: the most tokens that a text may have.
    weights: a table of rules, `candidate name <- reference name : ops` (docs/parity_rules.md); a bijection.
    taps: the same for module paths; None compares modules whose paths are equal.
    window: tokens T of a batch's rows; None: the context.
    batch_size: rows B of a batch.
    batches: (seed, count) -> `count` batches, in place of random tokens. A batch has numpy arrays by name: "tokens" and
        "targets" int32 [B,T] and "mask" float32 [B,T] (1 where a target counts) for the default `call` and `loss`, and
        whatever else yours read.
    routing: tap of a router's scores [..., E] -> how many of the E experts a token goes to.
    initial, generic: seed -> weights under the candidate's names, in place of the reference's own and of drawn ones.
    continues: whether a text alone can be continued; False leaves out the stage "greedy".
    stages: more comparisons by name, each (sides, setting) -> comparisons; they run before the optimizer's.
    notes: what a report should say about the pair.

    Raises UserError where a size is below 1. Rules and taps are read when the pair is compared.
    """

    name: str
    reference: Reference
    candidate: Candidate
    vocab_size: int
    context: int
    weights: str = SAME_NAMES
    taps: str | None = None
    window: int | None = None
    batch_size: int = 4
    batches: Callable[[int, int], Sequence[PairBatch]] | None = None
    routing: Mapping[str, int] = field(default_factory=dict)
    initial: Callable[[int], Arrays] | None = None
    generic: Callable[[int], Arrays] | None = None
    continues: bool = True
    stages: Mapping[str, CompareStage] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for name in ("vocab_size", "context", "batch_size"):
            if getattr(self, name) < 1:
                raise UserError(f"the pair {self.name} has {name} {getattr(self, name)}: give a whole number from 1")

    def draw(self, seed: int, count: int) -> Sequence[PairBatch]:
        """`count` batches that follow from the seed: tokens and targets int32 [B,T], mask float32 [B,T]."""
        if self.batches is not None:
            made = self.batches(seed, count)
            if len(made) < count:
                raise UserError(f"{self.name} was asked for {count} batches, and its `batches` gave {len(made)}")
            return made
        return random_batches(seed, count, (self.batch_size, self.window or self.context), self.vocab_size)

    def prompts(self, seed: int) -> list[np.ndarray]:
        """One prompt a row, of unequal lengths, so that a batched decoder must pad."""
        rng = np.random.default_rng(seed)
        lengths = (1, max(1, self.context // 4), max(1, self.context // 2))
        return [rng.integers(0, self.vocab_size, length, dtype=np.int32) for length in lengths]


def random_batches(seed: int, count: int, shape: tuple[int, int], vocab_size: int) -> list[PairBatch]:
    """Random tokens of which the targets are the next ones; the number of targets that count differs from row to row,
    and from batch to batch."""
    rng = np.random.default_rng(seed)
    batches = []
    for _ in range(count):
        text = rng.integers(0, vocab_size, (shape[0], shape[1] + 1), dtype=np.int32)
        share = np.linspace(0.25, 1, shape[0])[:, None]
        mask = (rng.random(shape) < share).astype(np.float32)
        batches.append({"tokens": text[:, :-1], "targets": text[:, 1:], "mask": mask})
    return batches
