"""Seeded bugs in the weight rules: the code of both models is right, and a weight arrives wrong."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from unittest.mock import patch

import numpy as np

from jaxdec.checkpoints import checkpoints as checkpoint
from jaxdec.parity.certificate.mutant import Patch
from jaxdec.parity.sides.stages import Sides
from jaxdec.parity.sides.transfer import Transfer
from parity_tests.mutants.registry import mutant


@contextmanager
def rules(sides: Sides, *lines: str) -> Iterator[None]:
    """The pair's table with other lines in front: the first that fits a parameter is used."""
    changed = Transfer(replace(sides.pair, weights="\n".join([*lines, sides.pair.weights])))
    sides.__dict__.pop("problems", None)  # of the right table
    with patch.object(sides, "transfer", changed), patch.object(sides.reference, "transfer", changed):
        try:
            yield
        finally:
            sides.__dict__.pop("problems", None)


@mutant("blocks.0.attention.out")
def square_kernel_not_transposed(sides: Sides) -> Patch:
    return rules(sides, "{*path}.out.kernel <- {*path}.out.weight")


@mutant("blocks.0.attention")
def key_and_value_exchanged(sides: Sides) -> Patch:
    return rules(
        sides, "{*path}.key.kernel <- {*path}.value.weight : T", "{*path}.value.kernel <- {*path}.key.weight : T"
    )


@mutant("blocks.0.attention_norm")
def norm_scale_counted_from_one(sides: Sides) -> Patch:
    return rules(sides, "{*path}_norm.scale <- {*path}_norm.weight : plus(1)")


@mutant("blocks.0.mlp", "linear scaling")
def gate_and_up_exchanged_by_the_rules(sides: Sides) -> Patch:
    return rules(sides, "{*path}.gate.kernel <- {*path}.up.weight : T", "{*path}.up.kernel <- {*path}.gate.weight : T")


@mutant("blocks.0.attention", "linear scaling")
def rotary_channels_in_another_order(sides: Sides) -> Patch:
    """Queries are taken for interleaved ones, keys are not."""
    return rules(sides, "{*path}.query.kernel <- {*path}.query.weight : halves(4) T")


@mutant("blocks.0.mlp.up.kernel")
def kernel_in_torchs_layout(sides: Sides) -> Patch:
    return rules(sides, "{*path}.up.kernel <- {*path}.up.weight")


@mutant("blocks.0.attention.query.weight")
def tensor_left_out_that_is_used(sides: Sides) -> Patch:
    return rules(sides, "- <- blocks.0.attention.query.weight")


@mutant("checkpoint")
def checkpoint_in_bfloat16() -> Patch:
    return checkpoint_in("bfloat16")


@mutant("checkpoint")
def checkpoint_in_float32() -> Patch:
    return checkpoint_in("float32")


def checkpoint_in(dtype: str) -> Patch:
    original = checkpoint.restore_params

    def restored(*given: object) -> object:
        import jax.numpy as jnp

        params, about = original(*given)  # type: ignore[arg-type]
        return {name: np.asarray(jnp.asarray(value, dtype), np.float64) for name, value in params.items()}, about

    return patch.object(checkpoint, "restore_params", restored)


@mutant("checkpoint")
def layers_exchanged_in_the_checkpoint() -> Patch:
    original = checkpoint.restore_params

    def restored(*given: object) -> object:
        params, about = original(*given)  # type: ignore[arg-type]
        turned = {"blocks.0.": "blocks.1.", "blocks.1.": "blocks.0."}
        return {turned.get(name[:9], name[:9]) + name[9:]: value for name, value in params.items()}, about

    return patch.object(checkpoint, "restore_params", restored)
