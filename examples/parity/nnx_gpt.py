"""`plain_torch_gpt.GPT` in flax.nnx, with its names."""

import jax
import jax.numpy as jnp
from flax import nnx


class Attention(nnx.Module):
    def __init__(self, width: int, heads: int, rngs: nnx.Rngs) -> None:
        self.heads = heads
        self.qkv = nnx.Linear(width, 3 * width, rngs=rngs)
        self.proj = nnx.Linear(width, width, rngs=rngs)

    def __call__(self, x: jax.Array) -> jax.Array:
        batch, time, width = x.shape
        fused = self.qkv(x).reshape(batch, time, 3, self.heads, width // self.heads)
        query, key, value = jnp.moveaxis(fused, 2, 0)
        scores = jnp.einsum("bqhk,bshk->bhqs", query, key) / (width // self.heads) ** 0.5
        scores = jnp.where(jnp.tri(time, dtype=bool), scores, -jnp.inf)
        mixed = jnp.einsum("bhqs,bshk->bqhk", jax.nn.softmax(scores), value)
        return self.proj(mixed.reshape(batch, time, width))


class MLP(nnx.Module):
    def __init__(self, width: int, rngs: nnx.Rngs) -> None:
        self.up = nnx.Linear(width, 4 * width, rngs=rngs)
        self.down = nnx.Linear(4 * width, width, rngs=rngs)

    def __call__(self, x: jax.Array) -> jax.Array:
        return self.down(jax.nn.gelu(self.up(x), approximate=False))


class Block(nnx.Module):
    def __init__(self, width: int, heads: int, rngs: nnx.Rngs) -> None:
        self.ln_1 = nnx.LayerNorm(width, epsilon=1e-5, rngs=rngs)
        self.attn = Attention(width, heads, rngs)
        self.ln_2 = nnx.LayerNorm(width, epsilon=1e-5, rngs=rngs)
        self.mlp = MLP(width, rngs)

    def __call__(self, x: jax.Array) -> jax.Array:
        x = x + self.attn(self.ln_1(x))
        return x + self.mlp(self.ln_2(x))


class GPT(nnx.Module):
    def __init__(
        self, vocab_size: int = 61, context: int = 16, width: int = 24, heads: int = 3, layers: int = 2, seed: int = 0
    ) -> None:
        rngs = nnx.Rngs(seed)
        self.wte = nnx.Embed(vocab_size, width, rngs=rngs)
        self.wpe = nnx.Embed(context, width, rngs=rngs)
        self.h = nnx.List([Block(width, heads, rngs) for _ in range(layers)])
        self.ln_f = nnx.LayerNorm(width, epsilon=1e-5, rngs=rngs)

    def __call__(self, tokens: jax.Array) -> jax.Array:
        x = self.wte(tokens) + self.wpe(jnp.arange(tokens.shape[1]))
        for block in self.h:
            x = block(x)
        return self.wte.attend(self.ln_f(x))
