"""AdamW with linear warm-up, cosine decay, a decay mask and a global-norm clip: torch's arithmetic, in optax.

What frameworks do differently is spelled out: the clip divides by norm + 1e-6 as `torch.nn.utils.clip_grad_norm_` does
(optax alone divides by the norm), and Adam's epsilon stands outside the root, after bias correction.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import optax
from jax.typing import ArrayLike

from jaxdec.config.run import OptimConfig

CLIP_EPSILON = 1e-6  # torch's


def learning_rate(config: OptimConfig, decay_steps: int, step: ArrayLike) -> jax.Array:
    """The rate of the update that follows `step` finished ones: linear warm-up that never starts at zero, then half a
    cosine down to the minimum at `decay_steps` (Loshchilov and Hutter 2017, eq. 5)."""
    peak, least, warmup = config.learning_rate, config.min_learning_rate, config.warmup_steps
    step = jnp.asarray(step, jnp.result_type(float))
    rising = peak * (step + 1) / (warmup + 1)
    progress = jnp.clip((step - warmup) / max(1, decay_steps - warmup), 0, 1)
    falling = least + 0.5 * (1 + jnp.cos(jnp.pi * progress)) * (peak - least)
    return jnp.where(step < warmup, rising, falling)


def is_decayed(params: Mapping[str, Any]) -> dict[str, bool]:
    """Matrices are decayed, vectors (norm scales, biases, the stacked biases of experts) are not."""
    return {name: param.ndim >= 2 and not name.endswith("bias") for name, param in params.items()}


def clip_by_global_norm(max_norm: float) -> optax.GradientTransformation:
    """Scales all gradients by min(1, max_norm / (norm + 1e-6)) (Pascanu et al. 2013)."""

    def scale(grads: Any, params: Any) -> Any:
        factor = jnp.minimum(1.0, max_norm / (optax.tree.norm(grads) + CLIP_EPSILON))
        return jax.tree.map(lambda grad: grad * factor.astype(grad.dtype), grads)

    return optax.stateless(scale)


def make_optimizer(config: OptimConfig, decay_steps: int) -> optax.GradientTransformation:
    """Clip, Adam's direction, decoupled decay, learning rate: in torch's order."""
    return optax.chain(
        optax.identity() if config.clip_norm is None else clip_by_global_norm(config.clip_norm),
        optax.scale_by_adam(b1=config.beta1, b2=config.beta2, eps=config.epsilon, eps_root=0.0),
        optax.add_decayed_weights(config.weight_decay, mask=is_decayed),
        optax.scale_by_learning_rate(lambda step: learning_rate(config, decay_steps, step)),
    )
