"""The JAX side of a pair: any model as one pure function of a flat dict of parameters."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxdec.errors import UserError
from jaxdec.parity.adapters.calling import calling
from jaxdec.parity.adapters.probe import Probe, function_probe
from jaxdec.parity.adapters.taps import linen_probe, nnx_probe

JaxParams = dict[str, jax.Array]
JaxBatch = Mapping[str, Any]
RunCandidate = Callable[[JaxParams, JaxBatch, str, Probe], Any]
TrainCandidate = Callable[[JaxParams, Sequence[JaxBatch], Sequence[int], str], tuple[np.ndarray, dict[int, JaxParams]]]


def logits_of(outputs: Any) -> Any:
    """A model returns its logits, or an object that has them. Raises UserError for anything else."""
    for name in ("logits", "logits_BTV"):
        if hasattr(outputs, name):
            return getattr(outputs, name)
    if not hasattr(outputs, "shape"):
        raise UserError(
            f"`call` returned {type(outputs).__name__}: it must return logits [B,T,V], or an object that has `logits`"
        )
    if len(outputs.shape) != 3:
        raise UserError(f"`call` returned an array of shape {tuple(outputs.shape)}: it must return logits [B,T,V]")
    return outputs


def with_logits(outputs: Any, logits: Any) -> Any:
    """The outputs with other logits. Raises TypeError where they are neither an array nor a record of a known kind."""
    for name in ("logits", "logits_BTV"):
        if hasattr(outputs, name):
            change = getattr(outputs, "_replace", None) or functools.partial(dataclasses.replace, outputs)
            return change(**{name: logits})
    return logits


def cross_entropy(outputs: Any, batch: JaxBatch) -> jax.Array:
    """The mean over the targets that count, in nats: sum(mask * loss) / sum(mask); in float32 at least, since bfloat16
    has no number within 0.1 % of most losses."""
    scores_BTV = logits_of(outputs)
    scores_BTV = scores_BTV.astype(jnp.promote_types(scores_BTV.dtype, jnp.float32))
    picked_BT = jnp.take_along_axis(scores_BTV, batch["targets"][..., None], axis=-1)[..., 0]
    losses_BT = jax.nn.logsumexp(scores_BTV, axis=-1) - picked_BT
    mask_BT = batch["mask"].astype(losses_BT.dtype)
    return jnp.sum(losses_BT * mask_BT) / jnp.sum(mask_BT)


def no_aux(outputs: Any) -> float:
    return 0.0


def same_precision(precision: str) -> str:
    return precision


@dataclass(frozen=True)
class Candidate:
    """The JAX side of a pair. `from_nnx`, `from_linen` and `from_function` make one of a model; what they are given
    beside it (`loss=`, `optimizer=` ...) are the fields below, whose defaults fit a language model with a plain cross
    entropy.

    shapes: every parameter by dotted name, as `jax.ShapeDtypeStruct`.
    run: (params, batch, precision, probe) -> logits [B,T,V], or an object that has them as `logits`,
        traced by `jax.jit`; `precision` ("float64", "float32", "bfloat16") is what it shall compute in.
    loss: (what `run` returns, batch) -> the mean loss in nats; aux: the part of it that does not come from the logits.
    optimizer: an optax transformation, or None for AdamW with torch's defaults.
    params_dtype: what parameters are held in at a precision.
    gradients: (params, batch, precision) -> loss and gradients, in place of differentiating `loss`.
    train: (params, batches, marks, precision) -> the loss of each step, and the parameters after each marked step.
    generate: (params, prompts, count, precision) -> the most likely continuations, by its own cached decoder.
    """

    shapes: Mapping[str, jax.ShapeDtypeStruct]
    run: RunCandidate
    loss: Callable[[Any, JaxBatch], jax.Array] = cross_entropy
    aux: Callable[[Any], Any] = no_aux
    optimizer: Any = None
    params_dtype: Callable[[str], str] = same_precision
    gradients: Callable[[JaxParams, JaxBatch, str], tuple[jax.Array, JaxParams]] | None = None
    train: (
        Callable[[JaxParams, Sequence[JaxBatch], Sequence[int], str], tuple[np.ndarray, dict[int, JaxParams]]] | None
    ) = None
    generate: Callable[[JaxParams, Sequence[np.ndarray], int, str], Sequence[np.ndarray]] | None = None


def from_nnx(module: Any, call: Callable[[Any, JaxBatch], Any], **parts: Any) -> Candidate:
    """A flax.nnx module, or a function that builds one for a precision. `call(module, batch)` returns logits [B,T,V].
    Every submodule is tapped by its path.

    A module that was made once computes in the dtype of its parameters, which is that of the run, unless it was told
    another. State that is no parameter is cast.

    Raises UserError where a dropout layer is on: no two frameworks draw the same masks.
    """
    from flax import nnx

    @functools.cache
    def built(precision: str) -> tuple[Any, dict[str, tuple[Any, ...]], dict[Any, Any], Any]:
        with jax.ensure_compile_time_eval():  # it may be asked for while a program is traced
            made = module if isinstance(module, nnx.Module) else module(precision)
        _refuse_nnx_dropout(made)
        graphdef, state, rest = nnx.split(made, nnx.Param, ...)
        leaves = dict(nnx.to_flat_state(state))
        return graphdef, {_path(path): path for path in leaves}, leaves, rest

    def run(params: JaxParams, batch: JaxBatch, precision: str, probe: Probe) -> Any:
        graphdef, paths, leaves, rest = built(precision)
        filled = nnx.from_flat_state([(path, leaves[path].replace(params[name])) for name, path in paths.items()])
        merged = nnx.merge(graphdef, filled, _cast(rest, precision))
        _follow_parameters(merged, leaves)
        with nnx_probe(merged, probe), calling("candidate", batch, probe):
            return call(merged, batch)

    _, paths, leaves, _ = built("float32")
    return Candidate({name: _shape(leaves[path][...]) for name, path in paths.items()}, run, **parts)


def _follow_parameters(model: Any, leaves: Mapping[Any, Any]) -> None:
    """nnx.Embed keeps the dtype that its table was made in and casts to it; made in this run's, it would keep that."""
    from flax import nnx

    for path, part in nnx.iter_modules(model):
        if isinstance(part, nnx.Embed):
            made = leaves.get((*path, "embedding"))
            if made is not None and part.dtype == made[...].dtype:
                part.dtype = part.embedding[...].dtype


def _refuse_nnx_dropout(module: Any) -> None:
    from flax import nnx

    for path, part in nnx.iter_modules(module):
        if isinstance(part, nnx.Dropout) and part.rate > 0 and not part.deterministic:
            raise UserError(f"the candidate's {_path(path)} drops {part.rate:g}: call eval() on it before the check")


def from_linen(module: Any, variables: Any, call: Callable[[Any, Any, JaxBatch], Any], **parts: Any) -> Candidate:
    """A flax.linen module, or a function that builds one for a precision, with its variables; `jax.eval_shape` of its
    `init` is enough where it has none but parameters. `call(module, variables, batch)` returns logits [B,T,V]."""
    from flax import linen

    if "params" not in variables:
        raise UserError("the variables of a flax.linen module have no 'params': give what `init` returns")
    flat = _flat(variables["params"])
    others = {name: collection for name, collection in variables.items() if name != "params"}

    def run(params: JaxParams, batch: JaxBatch, precision: str, probe: Probe) -> Any:
        made = module if isinstance(module, linen.Module) else module(precision)
        tree = _nested(variables["params"], params)
        with linen_probe(probe), calling("candidate", batch, probe):
            return call(made, {"params": tree, **_cast(others, precision)}, batch)

    return Candidate({name: _shape(leaf) for name, leaf in flat.items()}, run, **parts)


def from_function(function: Callable[[Any, JaxBatch], Any], params: Any, **parts: Any) -> Candidate:
    """`function(params, batch)` returns logits [B,T,V]; `params` is a tree of dicts, lists and arrays (or their
    shapes), whose paths are the parameters' names ("layers.0.attention.query"). Activations are tapped where the
    function calls `tap`."""
    flat = _flat(params)

    def run(leaves: JaxParams, batch: JaxBatch, precision: str, probe: Probe) -> Any:
        with function_probe(probe), calling("candidate", batch, probe):
            return function(_nested(params, leaves), batch)

    return Candidate({name: _shape(leaf) for name, leaf in flat.items()}, run, **parts)


def _path(path: Sequence[Any]) -> str:
    return ".".join(str(getattr(part, "key", getattr(part, "idx", getattr(part, "name", part)))) for part in path)


def _flat(tree: Any) -> dict[str, Any]:
    return {_path(path): leaf for path, leaf in jax.tree_util.tree_leaves_with_path(tree)}


def _nested(tree: Any, leaves: Mapping[str, Any]) -> Any:
    """The tree with each leaf taken from `leaves` by its path."""
    return jax.tree_util.tree_map_with_path(lambda path, _: leaves[_path(path)], tree)


def _shape(leaf: Any) -> jax.ShapeDtypeStruct:
    return jax.ShapeDtypeStruct(leaf.shape, leaf.dtype)


def _cast(tree: Any, precision: str) -> Any:
    """State that is no parameter, such as a table of angles, in the precision of the run."""
    return jax.tree.map(
        lambda leaf: leaf.astype(precision) if jnp.issubdtype(getattr(leaf, "dtype", int), jnp.floating) else leaf, tree
    )
