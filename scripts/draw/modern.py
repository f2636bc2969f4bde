"""Draws docs/ladder/modern.png: how a pair of channels turns, and what scalings do to the frequencies."""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np
import style

from jaxdec.config.positions import LinearScaling, Llama3Scaling, RoPE, YarnScaling
from jaxdec.layers.position import rope_frequencies, rotate

CHANNELS = 64
SCALINGS = {
    "plain": None,
    "linear, 4": LinearScaling(factor=4),
    "Llama 3, 4": Llama3Scaling(original_context=256, factor=4),
    "YaRN, 4": YarnScaling(original_context=256, factor=4),
}


def main() -> None:
    fig, axes = style.figure(3)
    positions = jnp.arange(12)[None]
    vectors = rotate(jnp.ones((1, 12, 1, 8)), positions, RoPE(theta=100.0))[0, :, 0]
    for pair, colour in enumerate((style.BLUE, style.GREEN, style.ORANGE)):
        axes[0].plot(vectors[:, pair], vectors[:, pair + 4], "o-", color=colour, ms=3, label=f"pair {pair}")
    axes[0].set(title="12 positions turn (1, 1)", xlabel="channel c", ylabel="channel c + C/2", aspect="equal")
    axes[0].legend(frameon=False, fontsize=7)
    rng = np.random.default_rng(0)
    q, k = (jnp.asarray(rng.normal(size=CHANNELS), jnp.float32) for _ in range(2))
    for shift, colour in ((0, style.BLUE), (40, style.ORANGE)):
        keys = rotate(jnp.tile(k, (1, 60, 1, 1)), jnp.arange(60)[None] + shift, RoPE())[0, :, 0]
        query = rotate(q[None, None, None], jnp.array([[60 + shift]]), RoPE())[0, 0, 0]
        width = 3 if shift == 0 else 1
        axes[1].plot(60 - np.arange(60), keys @ query, color=colour, lw=width, label=f"query at {60 + shift}")
    axes[1].set(title="the score depends on the distance alone", xlabel="query - key", ylabel="score")
    axes[1].legend(frameon=False, fontsize=7)
    for (name, scaling), colour in zip(
        SCALINGS.items(), (style.GREY, style.BLUE, style.GREEN, style.ORANGE), strict=True
    ):
        frequencies, _ = rope_frequencies(RoPE(scaling=scaling), CHANNELS)
        axes[2].plot(256 * frequencies / (2 * np.pi), color=colour, label=name)
    axes[2].set(title="turns in 256 tokens", xlabel="pair of channels", yscale="log")
    axes[2].legend(frameon=False, fontsize=7)
    style.save(fig, "modern")


if __name__ == "__main__":
    main()
