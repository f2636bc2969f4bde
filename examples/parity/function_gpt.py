"""`plain_torch_gpt.GPT` as one function of a tree of parameters; `tap` marks what is to be compared on the way."""

import math

import jax
import jax.numpy as jnp

from jaxdec.parity import tap

HEADS = 3


def shapes(vocab_size: int = 61, context: int = 16, width: int = 24, layers: int = 2) -> dict:
    def array(*shape: int) -> jax.ShapeDtypeStruct:
        return jax.ShapeDtypeStruct(shape, jnp.float32)

    def dense(inputs: int, outputs: int) -> dict:
        return {"w": array(inputs, outputs), "b": array(outputs)}

    def norm() -> dict:
        return {"g": array(width), "b": array(width)}

    block = {"ln_1": norm(), "qkv": dense(width, 3 * width), "proj": dense(width, width)}
    block |= {"ln_2": norm(), "up": dense(width, 4 * width), "down": dense(4 * width, width)}
    return {"wte": array(vocab_size, width), "wpe": array(context, width), "h": [block] * layers, "ln_f": norm()}


def gpt(params: dict, tokens: jax.Array) -> jax.Array:
    x = params["wte"][tokens] + params["wpe"][: tokens.shape[1]]
    for i, p in enumerate(params["h"]):
        x = x + tap(f"h.{i}.attn", attention(p, tap(f"h.{i}.ln_1", layer_norm(p["ln_1"], x))))
        hidden = tap(f"h.{i}.mlp.up", dense(p["up"], tap(f"h.{i}.ln_2", layer_norm(p["ln_2"], x))))
        x = tap(f"h.{i}", x + tap(f"h.{i}.mlp", dense(p["down"], jax.nn.gelu(hidden, approximate=False))))
    return tap("ln_f", layer_norm(params["ln_f"], x)) @ params["wte"].T


def attention(p: dict, x: jax.Array) -> jax.Array:
    query, key, value = (part.reshape(*x.shape[:2], HEADS, -1) for part in jnp.split(dense(p["qkv"], x), 3, axis=-1))
    scores = jnp.einsum("bqhk,bshk->bhqs", query, key) / math.sqrt(query.shape[-1])
    scores = jnp.where(jnp.tri(x.shape[1], dtype=bool), scores, -jnp.inf)
    return dense(p["proj"], jnp.einsum("bhqs,bshk->bqhk", jax.nn.softmax(scores), value).reshape(x.shape))


def dense(p: dict, x: jax.Array) -> jax.Array:
    return x @ p["w"] + p["b"]


def layer_norm(p: dict, x: jax.Array) -> jax.Array:
    centred = x - x.mean(-1, keepdims=True)
    return centred * jax.lax.rsqrt(jnp.square(centred).mean(-1, keepdims=True) + 1e-5) * p["g"] + p["b"]
