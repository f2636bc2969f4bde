"""Draws docs/ladder/attention_patterns.png: what full, local and strided layers see, ALiBi's penalty, the soft cap."""

from __future__ import annotations

import numpy as np
import style

from jaxdec.config.parts import Full, Local, Strided
from jaxdec.layers.position import alibi_slopes

LENGTH = 24


def main() -> None:
    fig, axes = style.figure(5, width=2.5, height=2.6)
    slots = np.arange(LENGTH)
    for axis, pattern, title in zip(
        axes,
        (Full(), Local(window=6), Strided(stride=6)),
        ("Full()", "Local(window=6)", "Strided(stride=6)"),
        strict=False,
    ):
        axis.imshow(pattern.allowed(slots[:, None], slots[None, :]), cmap="Blues", vmin=0, vmax=1.4)
        axis.set(title=title, xlabel="key", ylabel="query")
    distance = np.arange(LENGTH)
    for head, slope in enumerate(alibi_slopes(4, 8.0)):
        axes[3].plot(distance, -slope * distance, color=style.BLUE, alpha=1 - 0.2 * head, label=f"head {head}")
    axes[3].set(title="Full(alibi=8): added to scores", xlabel="query - key")
    axes[3].legend(frameon=False, fontsize=7)
    given = np.linspace(-8, 8, 200)
    axes[4].plot(given, given, color=style.GREY, label="score")
    axes[4].plot(given, 3 * np.tanh(given / 3), color=style.ORANGE, label="softcap=3")
    axes[4].set(title="Full(softcap=3)", xlabel="score", ylim=(-6, 6))
    axes[4].legend(frameon=False, fontsize=7)
    style.save(fig, "attention_patterns")


if __name__ == "__main__":
    main()
