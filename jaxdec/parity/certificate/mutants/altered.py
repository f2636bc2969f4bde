"""How the reference is changed for the length of a block: its module after each build, or how it is trained."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any
from unittest.mock import patch

from torch import nn

from jaxdec.parity.certificate.mutant import Patch
from jaxdec.parity.setting import Setting
from jaxdec.parity.sides.stages import Sides

Change = Callable[[Sides], Patch]


def altered(change: Callable[[nn.Module], None]) -> Change:
    """`change` is given each module that is built, with its weights."""

    def apply(sides: Sides) -> Patch:
        build = sides.reference.build

        def changed(at: Setting) -> nn.Module:
            model = build(at)
            change(model)
            return model

        return patch.object(sides.reference, "build", changed)

    return apply


def returning(path: str, change: Callable[[Any], Any]) -> Change:
    """The module at `path` returns what `change` makes of its result."""

    def hook(model: nn.Module) -> None:
        model.get_submodule(path).register_forward_hook(lambda module, args, output: change(output))

    return altered(hook)


def reading(path: str, change: Callable[[Any], Any]) -> Change:
    """The module at `path` is given what `change` makes of its first argument."""

    def hook(model: nn.Module) -> None:
        model.get_submodule(path).register_forward_pre_hook(lambda module, args: (change(args[0]), *args[1:]))

    return altered(hook)


def trained(**parts: Callable[[Any], Any]) -> Change:
    """Parts of the `Reference` replaced by what a function makes of the present one."""

    def apply(sides: Sides) -> Patch:
        reference = sides.reference.reference
        changed = {name: change(getattr(reference, name)) for name, change in parts.items()}
        return patch.object(sides.reference, "reference", replace(reference, **changed))

    return apply
