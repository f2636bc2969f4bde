"""A pair that is not ours: a small model in plain torch, and the same as a function over a tree of arrays."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import torch
from torch import nn

from jaxdec.parity.adapters.candidate import from_function
from jaxdec.parity.adapters.probe import tap
from jaxdec.parity.adapters.reference import Reference
from jaxdec.parity.pair import Pair

VOCABULARY, CONTEXT, WIDTH, LAYERS = 19, 8, 12, 2


class Layer(nn.Module):
    """x + down(gelu(up(norm(x, mean of the tokens so far))))."""

    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(WIDTH)
        self.mix = nn.Linear(WIDTH, WIDTH, bias=False)
        self.up = nn.Linear(WIDTH, 20)
        self.down = nn.Linear(20, WIDTH)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.norm(x)
        counts = torch.arange(1, y.shape[1] + 1)[:, None].to(y)
        y = y + self.mix(y.cumsum(1) / counts)
        return x + self.down(nn.functional.gelu(self.up(y)))


class Plain(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.tokens = nn.Embedding(VOCABULARY, WIDTH)
        self.places = nn.Embedding(CONTEXT, WIDTH)
        self.layers = nn.ModuleList([Layer() for _ in range(LAYERS)])
        self.norm = nn.LayerNorm(WIDTH)
        self.head = nn.Linear(WIDTH, VOCABULARY)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        x = self.tokens(tokens) + self.places(torch.arange(tokens.shape[1]))
        for layer in self.layers:
            x = layer(x)
        return self.head(self.norm(x))


def plain(params: Any, batch: Any) -> jax.Array:
    def linear(name: str, p: Any, x: jax.Array) -> jax.Array:
        return tap(name, x @ p["kernel"] + p.get("bias", 0.0))

    def norm(name: str, p: Any, x: jax.Array) -> jax.Array:
        centred = x - x.mean(-1, keepdims=True)
        return tap(name, centred * jax.lax.rsqrt((centred**2).mean(-1, keepdims=True) + 1e-5) * p["scale"] + p["bias"])

    tokens = batch["tokens"]
    x = tap("tokens", params["tokens"]["table"][tokens])
    x = x + tap("places", params["places"]["table"][: tokens.shape[1]])
    for i, p in params["layers"].items():
        y = norm(f"layers.{i}.norm", p["norm"], x)
        counts = jnp.arange(1, y.shape[1] + 1)[:, None].astype(y.dtype)
        y = y + linear(f"layers.{i}.mix", p["mix"], jnp.cumsum(y, 1) / counts)
        hidden = jax.nn.gelu(linear(f"layers.{i}.up", p["up"], y), approximate=False)
        x = tap(f"layers.{i}", x + linear(f"layers.{i}.down", p["down"], hidden))
    return linear("head", params["head"], norm("norm", params["norm"], x))


def plain_pair() -> Pair:
    torch.manual_seed(0)
    kernel = lambda rows, columns: {"kernel": jnp.zeros((rows, columns)), "bias": jnp.zeros(columns)}  # noqa: E731
    norm = {"scale": jnp.ones(WIDTH), "bias": jnp.zeros(WIDTH)}
    layer = {
        "norm": norm,
        "mix": {"kernel": jnp.zeros((WIDTH, WIDTH))},
        "up": kernel(WIDTH, 20),
        "down": kernel(20, WIDTH),
    }
    params = {
        "tokens": {"table": jnp.zeros((VOCABULARY, WIDTH))},
        "places": {"table": jnp.zeros((CONTEXT, WIDTH))},
        "layers": {str(i): layer for i in range(LAYERS)},
        "norm": norm,
        "head": kernel(WIDTH, VOCABULARY),
    }
    rules = """
    {*path}.kernel <- {*path}.weight : T
    {*path}.table <- {*path}.weight
    {*path}.scale <- {*path}.weight
    {*name} <- {*name}
    """
    return Pair("plain", Reference(Plain()), from_function(plain, params), VOCABULARY, CONTEXT, weights=rules)
