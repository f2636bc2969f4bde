"""Draws docs/ladder/single_head.png: what the one head looks at while it reads a line of playlets."""

from __future__ import annotations

import style
from trained import attention_weights, embedded, show_weights, trained

TEXT = "Hal: Ivy, the Owl reads poems."


def main() -> None:
    module, x_BTD = embedded(trained("single-head"), TEXT)
    fig, (ax,) = style.figure(1, width=4.2, height=4.2)
    show_weights(ax, attention_weights(module.attention, x_BTD)[0], TEXT, "attention weights of the single head")
    ax.set(xlabel="key: what is looked at", ylabel="query: the character that looks")
    style.save(fig, "single_head")


if __name__ == "__main__":
    main()
