"""GPT-2 and Llama in numpy, float64, from tensors under their origin's names: written for these tests alone."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

Array = np.ndarray


def attend(q: Array, k: Array, v: Array, heads: int, kv_heads: int) -> Array:
    """Causal attention of [T, channels] arrays; each key/value head serves heads / kv_heads query heads."""
    length, size = len(q), q.shape[1] // heads
    out = np.empty_like(q)
    for head in range(heads):
        own, other = slice(head * size, (head + 1) * size), head * kv_heads // heads
        shared = slice(other * size, (other + 1) * size)
        scores = q[:, own] @ k[:, shared].T / np.sqrt(size)
        scores[np.triu_indices(length, 1)] = -np.inf
        weights = np.exp(scores - scores.max(1, keepdims=True))
        out[:, own] = weights / weights.sum(1, keepdims=True) @ v[:, shared]
    return out


def gpt2_logits(w: Callable[[str], Array], tokens: Array, layers: int, heads: int) -> Array:
    """`w` gives a tensor by nanoGPT's name without "transformer.", matrices as [out, in]. [B,T] -> [B,T,V]."""

    def norm(x: Array, name: str) -> Array:
        x = (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + 1e-5)
        return x * w(f"{name}.weight") + w(f"{name}.bias")

    def linear(x: Array, name: str) -> Array:
        return x @ w(f"{name}.weight").T + w(f"{name}.bias")

    rows = []
    for row in tokens:
        x = w("wte.weight")[row] + w("wpe.weight")[: len(row)]
        for layer in range(layers):
            at = f"h.{layer}"
            q, k, v = np.split(linear(norm(x, f"{at}.ln_1"), f"{at}.attn.c_attn"), 3, axis=1)
            x = x + linear(attend(q, k, v, heads, heads), f"{at}.attn.c_proj")
            up = linear(norm(x, f"{at}.ln_2"), f"{at}.mlp.c_fc")
            gelu = 0.5 * up * (1 + np.tanh(np.sqrt(2 / np.pi) * (up + 0.044715 * up**3)))
            x = x + linear(gelu, f"{at}.mlp.c_proj")
        rows.append(norm(x, "ln_f") @ w("wte.weight").T)
    return np.array(rows)


def llama_logits(w: Mapping[str, Array], tokens: Array, layers: int, heads: int, kv_heads: int) -> Array:
    """Under Llama's own names; rotary pairs are neighbouring channels. [B,T] -> [B,T,V]."""

    def norm(x: Array, name: str) -> Array:
        return x / np.sqrt((x**2).mean(-1, keepdims=True) + 1e-5) * w[f"{name}.weight"]

    def turned(x: Array, count: int) -> Array:
        size = x.shape[1] // count
        pairs = x.reshape(len(x), count, size // 2, 2)
        even, odd = pairs[..., 0], pairs[..., 1]
        angle = np.outer(np.arange(len(x)), 10_000.0 ** (-np.arange(0, size, 2) / size))[:, None]
        both = [even * np.cos(angle) - odd * np.sin(angle), even * np.sin(angle) + odd * np.cos(angle)]
        return np.stack(both, -1).reshape(x.shape)

    rows = []
    for row in tokens:
        x = w["tok_embeddings.weight"][row]
        for layer in range(layers):
            at, h = f"layers.{layer}.attention", norm(x, f"layers.{layer}.attention_norm")
            q, k, v = (h @ w[f"{at}.{name}.weight"].T for name in ("wq", "wk", "wv"))
            mixed = attend(turned(q, heads), turned(k, kv_heads), v, heads, kv_heads)
            x = x + mixed @ w[f"{at}.wo.weight"].T
            at, h = f"layers.{layer}.feed_forward", norm(x, f"layers.{layer}.ffn_norm")
            gate, up = h @ w[f"{at}.w1.weight"].T, h @ w[f"{at}.w3.weight"].T
            x = x + gate / (1 + np.exp(-gate)) * up @ w[f"{at}.w2.weight"].T
        rows.append(norm(x, "norm") @ w.get("output.weight", w["tok_embeddings.weight"]).T)
    return np.array(rows)
