"""A transformer block: x + attention(norm(x)), then x + mlp(norm(x)) (Radford et al. 2019, section 2.3).

A norm can also stand behind each branch, x + norm(attention(x)) (OLMo 2), or on both sides of it (Gemma 2). No norm
stands in the residual stream itself.

The branches can also run in parallel (Wang and Komatsuzaki 2021): x + attention(norm(x)) + mlp(norm(x)), each with a
norm of its own (GPT-NeoX) or both with one (GPT-J, Cohere).
"""

from __future__ import annotations

from functools import partial
from typing import Literal, assert_never

import jax
from flax import nnx

from jaxdec.config.model import DecoderConfig
from jaxdec.config.parts import MoE
from jaxdec.layers.attention.attention import Attention
from jaxdec.layers.attention.cache import Cache, LayerCache
from jaxdec.layers.dropout import dropout
from jaxdec.layers.mlp import make_mlp
from jaxdec.layers.moe.moe import MoEModule, RouterReport
from jaxdec.layers.norm import make_norm, normalised


def branch_norms(branch_norm: Literal["pre", "post", "both"]) -> tuple[bool, bool]:
    """Whether a norm stands before each branch of a block, and whether one stands behind it."""
    match branch_norm:
        case "pre":
            return True, False
        case "post":
            return False, True
        case "both":
            return True, True
        case _:
            assert_never(branch_norm)


class Block(nnx.Module):
    """x [B,T,D] -> [B,T,D]. Residual projections start smaller by sqrt(2 L), so that its variance stays put."""

    def __init__(self, config: DecoderConfig, layer: int, *, rngs: nnx.Rngs):
        residual_std = config.init_std / (2 * config.layers) ** 0.5
        part = config.mlp_of(layer)
        self.dropout, self.residual_scale = config.dropout, config.residual_scale
        self.residual: Literal["sequential", "parallel", "parallel_one_norm"] = config.residual
        norm = partial(make_norm, config.width, config.norm, config.bias)
        before, after = branch_norms(config.branch_norm)
        self.attention_norm = norm() if before else None
        self.attention = Attention(config, layer, residual_std, rngs=rngs)
        self.attention_post_norm = norm() if after else None
        self.mlp_norm = norm() if before and config.residual != "parallel_one_norm" else None
        mixture = isinstance(part, MoE)
        self.mlp = MoEModule(config, part, rngs=rngs) if mixture else make_mlp(config, part, residual_std, rngs=rngs)
        self.mlp_post_norm = norm() if after else None

    def __call__(
        self,
        x_BTD: jax.Array,
        positions_BT: jax.Array,
        cache: Cache | None,
        layer: LayerCache | None,
        key: jax.Array | None,
        starts_BT: jax.Array | None = None,
    ) -> tuple[jax.Array, LayerCache | None, RouterReport | None]:
        """The new x, this layer's cache, and the losses and metrics of its router (None without one). `starts_BT` says
        where the document of each token begins; None: all are one."""
        weights_key, attention_key, mlp_key = (None,) * 3 if key is None else jax.random.split(key, 3)
        read_BTD = normalised(self.attention_norm, x_BTD)
        y_BTD, layer = self.attention(read_BTD, positions_BT, cache, layer, weights_key, starts_BT)
        sum_BTD = x_BTD + self.added(normalised(self.attention_post_norm, y_BTD), attention_key)
        match self.residual:
            case "sequential":
                y_BTD = normalised(self.mlp_norm, sum_BTD)
            case "parallel":
                y_BTD = normalised(self.mlp_norm, x_BTD)
            case "parallel_one_norm":
                y_BTD = read_BTD
            case _:
                assert_never(self.residual)
        report = None
        if isinstance(self.mlp, MoEModule):
            router_key = None if mlp_key is None else jax.random.fold_in(mlp_key, 1)
            y_BTD, report = self.mlp(y_BTD, router_key)
        else:
            y_BTD = self.mlp(y_BTD)
        return sum_BTD + self.added(normalised(self.mlp_post_norm, y_BTD), mlp_key), layer, report

    def added(self, y_BTD: jax.Array, key: jax.Array | None) -> jax.Array:
        """What of a branch is added to the stream: with dropout, and times `residual_scale` where there is one."""
        y_BTD = dropout(y_BTD, self.dropout, key)
        return y_BTD if self.residual_scale is None else self.residual_scale * y_BTD
