"""Draws docs/ladder/multi_head.png: what each of the four heads looks at in a line of playlets."""

from __future__ import annotations

import style
from trained import attention_weights, embedded, show_weights, trained

TEXT = "Jo: Ivy, the Owl"


def main() -> None:
    module, x_BTD = embedded(trained("multi-head"), TEXT)
    fig, axes = style.figure(4, width=2.7, height=2.9)
    for head, (ax, weights_TS) in enumerate(zip(axes, attention_weights(module.attention, x_BTD), strict=True)):
        show_weights(ax, weights_TS, TEXT, f"head {head}")
    style.save(fig, "multi_head")


if __name__ == "__main__":
    main()
