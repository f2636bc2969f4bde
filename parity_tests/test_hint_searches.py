"""The formulas that hints are found by, against torch's own; and attempts on a candidate whose projections are taps."""

from __future__ import annotations

import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from flax import nnx

from jaxdec.parity.adapters.candidate import from_nnx
from jaxdec.parity.adapters.reference import Reference
from jaxdec.parity.hints.adam import PLAIN, Given, directions
from jaxdec.parity.hints.attention import Projected, attend
from jaxdec.parity.hints.changes import fused_by_head, fused_in_blocks, relaid, reordered
from jaxdec.parity.hints.hints import hints
from jaxdec.parity.hints.identify import residual
from jaxdec.parity.hints.schedules import FALLS, RISES, schedules, shape
from jaxdec.parity.hints.updates import Fit, fit
from jaxdec.parity.locate.bisect import bisect
from jaxdec.parity.pair import Pair
from jaxdec.parity.setting import Setting
from jaxdec.parity.sides.stages import Sides, taps

WIDTH, HEADS, GROUPS, VOCABULARY, CONTEXT, THETA = 24, 4, 2, 19, 8, 777.0  # a base that no table has


class Ported(nnx.Module):
    """Half-split rotary, key heads repeated, scores divided by sqrt(C)."""

    def __init__(self) -> None:
        rngs, shared = nnx.Rngs(0), WIDTH // HEADS * GROUPS
        self.embed = nnx.Embed(VOCABULARY, WIDTH, rngs=rngs)
        self.query = nnx.Linear(WIDTH, WIDTH, use_bias=False, rngs=rngs)
        self.key, self.value = (nnx.Linear(WIDTH, shared, use_bias=False, rngs=rngs) for _ in range(2))
        self.out = nnx.Linear(WIDTH, VOCABULARY, use_bias=False, rngs=rngs)

    def __call__(self, tokens: jax.Array) -> jax.Array:
        x = self.embed(tokens)
        q, k, v = (part(x).reshape(*x.shape[:2], -1, WIDTH // HEADS) for part in (self.query, self.key, self.value))
        angles = jnp.arange(x.shape[1])[:, None] / THETA ** (jnp.arange(3) / 3)[None]

        def turn(y: jax.Array) -> jax.Array:
            (a, b), cos, sin = jnp.split(y, 2, -1), jnp.cos(angles)[None, :, None], jnp.sin(angles)[None, :, None]
            return jnp.concatenate([a * cos - b * sin, b * cos + a * sin], -1)

        q, k, v = turn(q), *(jnp.repeat(y, HEADS // GROUPS, axis=2) for y in (turn(k), v))
        scores = jnp.einsum("bthc,bshc->bhts", q, k) / math.sqrt(WIDTH // HEADS)
        scores = jnp.where(jnp.tri(x.shape[1], dtype=bool), scores, -jnp.inf)
        return self.out(jnp.einsum("bhts,bshc->bthc", jax.nn.softmax(scores), v).reshape(x.shape))


class Original(torch.nn.Module):
    def __init__(self, layout: str = "halves", groups: str = "repeated", scale: float = 1.0) -> None:
        super().__init__()
        shared = WIDTH // HEADS * GROUPS
        self.layout, self.groups, self.scale = layout, groups, scale
        self.embed = torch.nn.Embedding(VOCABULARY, WIDTH)
        self.query = torch.nn.Linear(WIDTH, WIDTH, bias=False)
        self.key, self.value = (torch.nn.Linear(WIDTH, shared, bias=False) for _ in range(2))
        self.out = torch.nn.Linear(WIDTH, VOCABULARY, bias=False)

    def turn(self, y: torch.Tensor) -> torch.Tensor:
        angles = torch.arange(y.shape[1])[:, None, None].to(y) / THETA ** (torch.arange(3).to(y) / 3)
        a, b = y.chunk(2, -1) if self.layout == "halves" else (y[..., 0::2], y[..., 1::2])
        turned = a * angles.cos() - b * angles.sin(), b * angles.cos() + a * angles.sin()
        return torch.cat(turned, -1) if self.layout == "halves" else torch.stack(turned, -1).flatten(-2)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        x = self.embed(tokens)
        q, k, v = (part(x).unflatten(-1, (-1, WIDTH // HEADS)) for part in (self.query, self.key, self.value))
        q, k = self.turn(q), self.turn(k)
        spread = lambda y: y.repeat_interleave(2, 2) if self.groups == "repeated" else y.repeat(1, 1, 2, 1)  # noqa: E731
        q, k, v = (y.transpose(1, 2) for y in (q, spread(k), spread(v)))
        scale = self.scale / math.sqrt(WIDTH // HEADS)
        mixed = F.scaled_dot_product_attention(q, k, v, is_causal=True, scale=scale)
        return self.out(mixed.transpose(1, 2).flatten(-2))


PLANTS: dict[str, dict[str, Any]] = {
    "": {},
    "rotary layout": {"layout": "neighbours"},
    "grouped heads": {"groups": "tiled"},
    "score scale": {"scale": 6**0.5},
}


@pytest.mark.parametrize("seam", PLANTS)
def test_what_no_formula_knows_is_found_by_trying_the_candidate_itself(seam: str) -> None:
    rules = "{*path}.kernel <- {*path}.weight : T\nembed.embedding <- embed.weight"
    with jax.numpy_rank_promotion("allow"):
        candidate = from_nnx(Ported(), lambda model, batch: model(batch["tokens"]))
        pair = Pair("ported", Reference(Original(**PLANTS[seam])), candidate, VOCABULARY, CONTEXT, weights=rules)
        sides, at = Sides(pair, 2), Setting()
        comparisons = taps(sides, at)
        found = hints(sides, comparisons, bisect(sides, comparisons, at), at)
    assert all(comparison.equal for comparison in comparisons) == (not seam)
    assert [hint.seam for hint in found] == ([seam] if seam else [])
    assert all(hint.residual < 1e-13 and "matches at" in hint.text for hint in found)


def test_orders_of_channels_are_undone_by_their_opposites() -> None:
    x = np.arange(2 * 24.0).reshape(2, 24)
    assert (relaid(relaid(x, 6, "halves"), 6, "neighbours") == x).all() and (relaid(x, 6, "halves") != x).any()
    assert (fused_by_head(fused_in_blocks(x, 4), 4) == x).all() and (fused_by_head(x, 4) != x).any()
    assert relaid(x, 6, "halves")[0, :6].tolist() == [0, 2, 4, 1, 3, 5]
    assert fused_in_blocks(x, 2)[0, :8].tolist() == [0, 1, 2, 3, 12, 13, 14, 15]
    assert reordered(x, np.array([2, 0, 1]))[0, 0] == 16


def test_attention_is_torchs() -> None:
    rng = np.random.default_rng(0)
    q, k, v = (rng.standard_normal((2, 6, width)) for width in (12, 6, 6))
    ours = attend(Projected(q, k, v, np.arange(6), None, 12), channels=3)
    heads = [torch.from_numpy(x).unflatten(-1, (-1, 3)).transpose(1, 2) for x in (q, k, v)]
    true = F.scaled_dot_product_attention(heads[0], heads[1], heads[2], is_causal=True, enable_gqa=True)
    assert residual(ours, true.transpose(1, 2).flatten(-2).numpy()) < 1e-14  # type: ignore[arg-type]
    assert attend(Projected(q, k, v, np.arange(6), None, 12), channels=3, swapped=True) is None  # shapes do not fit


def test_rates_and_decays_are_fitted_from_torchs_adamw() -> None:
    rng = np.random.default_rng(0)
    start, rates, decay = rng.standard_normal(40), (1e-3, 3e-3, 2e-3), 0.05
    grads = [rng.standard_normal(40) for _ in rates]
    parameter = torch.nn.Parameter(torch.from_numpy(start.copy()))
    optimizer = torch.optim.AdamW([parameter], weight_decay=decay, betas=(0.9, 0.95))
    path = [start]
    for rate, grad in zip(rates, grads, strict=True):
        optimizer.param_groups[0]["lr"], parameter.grad = rate, torch.from_numpy(grad)
        optimizer.step()
        path.append(parameter.detach().numpy().copy())
    given = Given(grads, path[:-1], np.zeros(40, int), np.ones(3), [np.ones(1)] * 3, np.array([True]))
    updates = np.diff(path, axis=0)
    fitted = fit(given, directions(given, {**PLAIN, "betas": (0.9, 0.95)}), updates)
    assert fitted.residual < 1e-12
    np.testing.assert_allclose(fitted.rates, rates, rtol=1e-10)
    np.testing.assert_allclose(fitted.decays[:, 0], decay * np.array(rates), rtol=1e-9)
    assert fit(given, directions(given, PLAIN), updates).residual > 1e-3


def test_an_unknown_schedule_gets_no_hint() -> None:
    at = {"warmup": 3, "end": 20, "peak": 1.0, "floor": 0.1}
    known = shape(30, RISES[0], fall=FALLS[0], **at)
    same = Fit(known, known[:, None], 0.0)
    odd = Fit(known * np.linspace(1, 1.5, 30), known[:, None], 0.0)
    assert not schedules(same, same) and not schedules(odd, same)
    (hint,) = schedules(Fit(shape(30, RISES[1], fall=FALLS[0], **at), known[:, None], 0.0), same)
    assert hint.seam == "schedule end" and "from zero" in hint.text
