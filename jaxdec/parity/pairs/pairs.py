"""Pairs of our models and their twins by name; a rung of the ladder has one as soon as it is in the table."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from jaxdec.config.model import AnyModel
from jaxdec.errors import UserError, nearest
from jaxdec.models.ladder import LADDER
from jaxdec.parity.pair import Pair
from jaxdec.parity.pairs.jax_twin import JaxTwin
from jaxdec.parity.pairs.run import TwinRun, twin_run
from jaxdec.parity.pairs.stages import twin_stages
from jaxdec.parity.pairs.torch_twin import TorchTwin
from jaxdec.weights.torchref import RULES

VOCABULARY = 37  # odd, and no power of two, so that no axis is mistaken for another


def pair_of(name: str) -> Pair:
    """The pair of a rung, at reduced size. Raises UserError for an unknown name, with the nearest."""
    rungs = {rung.name: rung.config for rung in LADDER}
    if name not in rungs:
        raise UserError(f"there is no rung '{name}'{nearest(name, rungs)}")
    model = reduced(rungs[name])
    return pair_of_run(name, twin_run(model), notes=(f"compared at reduced size: {describe(model)}",))


def pair_of_model(name: str, model: AnyModel, *, batch_size: int = 4, window: int | None = None) -> Pair:
    return pair_of_run(name, twin_run(model, batch_size=batch_size, window=window))


def pair_of_run(name: str, run: TwinRun, notes: tuple[str, ...] = ()) -> Pair:
    jax_twin, torch_twin = JaxTwin(run), TorchTwin(run)
    return Pair(
        name=name,
        reference=torch_twin.reference(),
        candidate=jax_twin.candidate(),
        weights=RULES,
        vocab_size=run.vocab_size,
        context=run.model.context,
        window=run.config.window,
        batch_size=run.config.batch_size,
        batches=run.batches,
        routing=run.routed,
        initial=jax_twin.initial,
        generic=jax_twin.generic,
        continues=run.continues,
        stages=twin_stages(jax_twin, torch_twin),
        notes=notes,
    )


def reduced(model: AnyModel) -> AnyModel:
    """The same parts in a model that a CPU compares in seconds: width 32, up to four layers, 16 positions. Whatever
    differs from layer to layer is kept."""
    changes: dict[str, Any] = {"width": 32, "context": 16, "vocab_size": VOCABULARY}
    fields = {
        field: getattr(model, field) for field in ("layers", "heads", "kv_heads", "dropout") if hasattr(model, field)
    }
    if fields.get("layers"):
        changes["layers"] = min(fields["layers"], 4)
    if fields.get("heads"):
        changes["heads"] = 4
    if fields.get("kv_heads"):
        changes["kv_heads"] = 2
    if "dropout" in fields:
        changes["dropout"] = 0.0
    return replace(model, **changes, **narrow_parts(model))


def narrow_parts(model: AnyModel) -> dict[str, Any]:
    """Windows and hidden widths that fit: a window as long as the text would hide nothing."""
    changes: dict[str, Any] = {}
    for name, narrow in (("attention", narrow_pattern), ("mlp", narrow_mlp)):
        if hasattr(model, name):
            values = getattr(model, name)
            changes[name] = tuple(map(narrow, values)) if isinstance(values, tuple) else narrow(values)
    return changes


def narrow_pattern(pattern: Any) -> Any:
    limits = {"window": 5, "stride": 3}
    return replace(
        pattern, **{name: min(most, getattr(pattern, name)) for name, most in limits.items() if hasattr(pattern, name)}
    )


def narrow_mlp(part: Any) -> Any:
    changes: dict[str, Any] = {}
    if getattr(part, "hidden", None) is not None:
        changes["hidden"] = 48
    if hasattr(part, "experts"):
        changes = {"experts": min(part.experts, 4), "expert": narrow_mlp(part.expert)}
    return replace(part, **changes)


def describe(model: AnyModel) -> str:
    layers = getattr(model, "layers", None)
    return ", ".join(
        filter(None, [f"{layers} layers" if layers else "", f"width {model.width}", f"context {model.context}"])
    )
