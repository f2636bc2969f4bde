"""Draws docs/ladder/one_block.png: the block's wiring, and the loss that can be read off the stream after each sum."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import style
from matplotlib.patches import Circle, Rectangle
from trained import trained

from jaxdec.data.batches import sweep
from jaxdec.data.shards import prepare
from jaxdec.layers.linear import logits
from jaxdec.training.losses import token_losses

STAGES = ("embeddings", "+ attention", "+ feed-forward")


def draw_wiring(ax: Any) -> None:
    """The stream goes up; each branch leaves it, is normed, and is added."""
    ax.set(xlim=(0, 10), ylim=(0, 10.4), title="one block")
    ax.axis("off")

    def box(x: float, y: float, text: str, colour: str, width: float) -> None:
        ax.text(x, y, text, ha="center", va="center", fontsize=8, color="white")
        ax.add_patch(Rectangle((x - width / 2, y - 0.4), width, 0.8, color=colour, zorder=0))

    def line(*points: tuple[float, float], arrow: bool = True) -> None:
        ax.plot(*zip(*points, strict=True), color="black", lw=1, zorder=-1)
        if arrow:
            ax.annotate("", points[-1], points[-2], arrowprops={"arrowstyle": "->", "lw": 1})

    line((3, 0.9), (3, 9.1))
    for bottom, name, colour in ((1.6, "attention", style.BLUE), (5.2, "feed-forward", style.ORANGE)):
        line((3, bottom), (7, bottom), (7, bottom + 2.7), (3.3, bottom + 2.7))
        box(7, bottom + 0.8, "norm", style.GREY, 3.2)
        box(7, bottom + 1.9, name, colour, 3.8)
        ax.add_patch(Circle((3, bottom + 2.7), 0.3, facecolor="white", edgecolor="black", zorder=2))
        ax.text(3, bottom + 2.7, "+", ha="center", va="center", zorder=3)
    box(3, 0.5, "embeddings", style.GREEN, 4.2)
    box(3, 9.5, "head", style.GREEN, 4.2)


def stage_losses() -> list[float]:
    """The loss when the head reads the stream of the trained model before the block, within it and after it: on the
    complete sweep of the validation split, as the table of the page gives it."""
    run = trained("one-block")
    config = run.config
    tokens = prepare(config.data, tokenizer=run.tokenizer).validation
    module = run.model.module(run.params)
    (block,), dtype = module.blocks, jnp.dtype(run.model.precision.compute)
    positions_BT = jnp.arange(config.window)[None]

    @jax.jit
    def sums(batch: dict[str, jax.Array]) -> jax.Array:
        x_BTD = module.token_embed(batch["tokens"], dtype) + module.position_embed(positions_BT, dtype)
        attended_BTD = x_BTD + block.attention(block.attention_norm(x_BTD), positions_BT, None, None, None)[0]
        stream = (x_BTD, attended_BTD, block(x_BTD, positions_BT, None, None, None)[0])
        logits_of = [logits(x_BTD, module.head.kernel[...]) for x_BTD in stream]
        return jnp.stack([(token_losses(each, batch["targets"]) * batch["mask"]).sum() for each in logits_of])

    stride = config.data.sweep_stride or config.window
    batches = list(sweep(tokens, config.window, stride, config.batch_size))
    total = sum(float(batch["mask"].sum()) for batch in batches)
    losses = np.sum([np.asarray(sums(batch), np.float64) for batch in batches], axis=0)
    return [float(loss) / total for loss in losses]


def main() -> None:
    fig, axes = style.figure(2)
    draw_wiring(axes[0])
    losses = stage_losses()
    axes[1].bar(STAGES, losses, color=(style.GREEN, style.BLUE, style.ORANGE), width=0.6)
    for index, loss in enumerate(losses):
        axes[1].text(index, loss, f"{loss:.3f}", ha="center", va="bottom")
    axes[1].set(title="sweep loss, if the head reads here", ylabel="nats per character")
    axes[1].tick_params(axis="x", labelsize=7)
    style.save(fig, "one_block")


if __name__ == "__main__":
    main()
