"""`plain_torch_gpt.GPT` in flax.linen, submodules named by Flax."""

import flax.linen as nn
import jax
import jax.numpy as jnp


class Attention(nn.Module):
    heads: int

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        batch, time, width = x.shape
        fused = nn.Dense(3 * width)(x).reshape(batch, time, 3, self.heads, width // self.heads)
        query, key, value = jnp.moveaxis(fused, 2, 0)
        scores = jnp.einsum("bqhk,bshk->bhqs", query, key) / (width // self.heads) ** 0.5
        scores = jnp.where(jnp.tri(time, dtype=bool), scores, -jnp.inf)
        mixed = jnp.einsum("bhqs,bshk->bqhk", jax.nn.softmax(scores), value)
        return nn.Dense(width)(mixed.reshape(batch, time, width))


class MLP(nn.Module):
    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        hidden = nn.Dense(4 * x.shape[-1])(x)
        return nn.Dense(x.shape[-1])(nn.gelu(hidden, approximate=False))


class Block(nn.Module):
    heads: int

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        x = x + Attention(self.heads)(nn.LayerNorm(epsilon=1e-5)(x))
        return x + MLP()(nn.LayerNorm(epsilon=1e-5)(x))


class GPT(nn.Module):
    vocab_size: int = 61
    context: int = 16
    width: int = 24
    heads: int = 3
    layers: int = 2

    def setup(self) -> None:
        self.wte = nn.Embed(self.vocab_size, self.width)
        self.wpe = nn.Embed(self.context, self.width)
        self.h = [Block(self.heads) for _ in range(self.layers)]
        self.ln_f = nn.LayerNorm(epsilon=1e-5)

    def __call__(self, tokens: jax.Array) -> jax.Array:
        x = self.wte(tokens) + self.wpe(jnp.arange(tokens.shape[1]))
        for block in self.h:
            x = block(x)
        return self.wte.attend(self.ln_f(x))
