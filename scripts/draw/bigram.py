"""Draws docs/ladder/bigram.png: a chain's table of next letters, and what the bigram model made of its text."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import style
from trained import trained

from jaxdec.data.corpora.markov import ALPHABET, Markov


def main() -> None:
    run = trained("bigram", "markov:1", steps=500)
    letters = run.tokenizer.encode(ALPHABET)
    logits_TV = run.model.apply(run.params, jnp.asarray(letters)[None]).logits_BTV[0]
    learned = np.asarray(jax.nn.softmax(logits_TV, axis=-1))[:, letters]
    true = Markov(order=1).transitions
    fig, axes = style.figure(2)
    for ax, table, title in zip(axes, (true, learned), ("the chain", "the model, 500 steps"), strict=True):
        ax.imshow(table, cmap="Blues", vmin=0, vmax=1)
        for row, column in np.ndindex(table.shape):
            if table[row, column] >= 0.01:
                colour = "white" if table[row, column] > 0.5 else "black"
                ax.text(
                    column, row, f"{table[row, column]:.2f}"[1:], ha="center", va="center", fontsize=6, color=colour
                )
        ax.set_xticks(range(len(ALPHABET)), ALPHABET)
        ax.set_yticks(range(len(ALPHABET)), ALPHABET)
        ax.tick_params(length=0)
        ax.set(title=f"P(next | previous): {title}", xlabel="next", ylabel="previous")
    print(f"largest difference {np.abs(true - learned).max():.3f}")
    style.save(fig, "bigram")


if __name__ == "__main__":
    main()
