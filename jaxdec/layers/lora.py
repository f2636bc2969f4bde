"""Low-rank adapters beside frozen linear layers (Hu et al. 2021, "LoRA", section 4.1, eq. 3).

A model is built as ever, and then some of its linear layers are replaced: names, first values and axes of all other
parameters stay as they are, and a model without adapters knows nothing of them. Only the adapters are differentiated
where only they are trained, so no product makes a gradient of W; of x a product with W is still needed.
"""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx

from jaxdec.config.trainable import LoRA
from jaxdec.errors import UserError, listed
from jaxdec.layers.dropout import dropout
from jaxdec.layers.linear import Linear, linear
from jaxdec.layers.moe.experts import WEIGHTS, Experts

OUTPUTS = ("head", "classifier")  # they are trained whole or not at all


def first_a(inputs: int, shape: tuple[int, ...], rngs: nnx.Rngs) -> jax.Array:
    """First values of A: uniform(-1/sqrt(in), 1/sqrt(in)), as the paper's own code and `peft` have it. B starts at
    zero, so that an adapted layer starts as its base."""
    return jax.random.uniform(rngs.params(), shape, minval=-(inputs**-0.5), maxval=inputs**-0.5)


class AdaptedLinear(Linear):
    """y = x W + b + scale dropout(x) A B: owns `lora_a` A [in, rank] and `lora_b` B [rank, out] beside W and b."""

    key: jax.Array | None = None  # of dropout; set while a training step is traced, see `set_keys`

    def __init__(self, base: Linear, lora: LoRA, *, rngs: nnx.Rngs):
        inputs, outputs = base.kernel.shape
        self.axes, self.kernel, self.bias = base.axes, base.kernel, base.bias
        self.lora_a = nnx.Param(first_a(inputs, (inputs, lora.rank), rngs), axes=(base.axes[0], None))
        self.lora_b = nnx.Param(jnp.zeros((lora.rank, outputs)), axes=(None, base.axes[1]))
        self.scale, self.rate = lora.scale, lora.dropout

    def adapted(self, x: jax.Array, y: jax.Array) -> jax.Array:
        narrow = linear(dropout(x, self.rate, self.key), self.lora_a[...], None)
        return y + self.scale * linear(narrow, self.lora_b[...], None)


class AdaptedExperts(Experts):
    """The same for each expert of a mixture: `up_lora_a` [E, in, rank], `up_lora_b` [E, rank, out] beside `up`, and so
    on for each of its weights that is a target."""

    key: jax.Array | None = None

    def __init__(self, base: Experts, lora: LoRA, targets: Sequence[str], *, rngs: nnx.Rngs):
        self.part, self.targets = base.part, tuple(targets)
        for name in (*WEIGHTS, *(f"{name}_bias" for name in WEIGHTS)):
            setattr(self, name, getattr(base, name))
        for name in self.targets:
            kernel = getattr(base, name)
            (experts, inputs, outputs), axes = kernel.shape, kernel.get_metadata("axes")
            draw = first_a(inputs, (experts, inputs, lora.rank), rngs)
            setattr(self, f"{name}_lora_a", nnx.Param(draw, axes=(*axes[:2], None)))
            zeros = jnp.zeros((experts, lora.rank, outputs))
            setattr(self, f"{name}_lora_b", nnx.Param(zeros, axes=(axes[0], None, axes[2])))
        self.scale, self.rate = lora.scale, lora.dropout

    def adapted(self, name: str, x_GCD: jax.Array, y: jax.Array, expert_G: jax.Array | None) -> jax.Array:
        if name not in self.targets:
            return y
        key = None if self.key is None else jax.random.fold_in(self.key, self.targets.index(name))
        narrow = self.product(f"{name}_lora_a", dropout(x_GCD, self.rate, key), expert_G)
        return y + self.scale * self.product(f"{name}_lora_b", narrow, expert_G)


def add_adapters(model: nnx.Module, lora: LoRA, *, rngs: nnx.Rngs) -> None:
    """Puts adapters beside the layers that `lora.targets` names. Raises UserError for a target that fits none."""
    layers = {name: layer for name, layer in modules(model, Linear).items() if name not in OUTPUTS}
    mixtures = {
        name: [part for part in WEIGHTS if getattr(layer, part) is not None]
        for name, layer in modules(model, Experts).items()
    }
    known = [*layers, *(f"{name}.{part}" for name, parts in mixtures.items() for part in parts)]
    for target in lora.targets:
        require_target(target, known)
    for name, layer in layers.items():
        if lora.adapts(name):
            replace(model, name, AdaptedLinear(layer, lora, rngs=rngs))
    for name, parts in mixtures.items():
        if targets := [part for part in parts if lora.adapts(f"{name}.{part}")]:
            replace(model, name, AdaptedExperts(modules(model, Experts)[name], lora, targets, rngs=rngs))


def require_target(target: str, known: Sequence[str]) -> None:
    """Raises UserError for a target that fits none of the layers that can be adapted."""
    if any(LoRA.means(target, name) for name in known):
        return
    if not known:
        raise UserError("trainable lora: this model has no linear layer beside its head, and a head takes no adapter")
    if any(LoRA.means(target, name) for name in OUTPUTS):
        raise UserError(
            f"trainable.targets: {target!r} takes no adapter: a classifier is trained whole beside the adapters, and a "
            "head stays as it is; leave it out"
        )
    kinds = list(dict.fromkeys(name.rpartition(".")[2] for name in known))
    close = difflib.get_close_matches(target, [*kinds, *known], n=3, cutoff=0.4)
    near = f"the nearest names are {', '.join(close)}" if close else f"names are {listed(kinds)}"
    raise UserError(f"trainable.targets: no linear layer is called {target!r}; {near}")


def replace(model: Any, name: str, module: nnx.Module) -> None:
    """Puts a module where another one is."""
    *parents, last = name.split(".")
    for part in parents:
        model = model[int(part)] if part.isdigit() else getattr(model, part)
    setattr(model, last, module)


def set_keys(model: nnx.Module, key: jax.Array) -> None:
    """Gives each adapter of a model that is being traced a key of its own for dropout."""
    for index, layer in enumerate(modules(model, (AdaptedLinear, AdaptedExperts)).values()):
        layer.key = jax.random.fold_in(key, index)


def modules(model: nnx.Module, kind: type | tuple[type, ...]) -> dict[str, Any]:
    """The modules of a kind by path, as blocks.0.attention.query, sorted."""
    found = {".".join(map(str, path)): module for path, module in nnx.iter_modules(model) if isinstance(module, kind)}
    return {name: found[name] for name in sorted(found)}
