"""Draws docs/ladder/gpt2.png: where the parameters of the four sizes of GPT-2 are."""

from __future__ import annotations

import style

from jaxdec.models.flops import count, parameters, training_flops
from jaxdec.models.ladder import GPT2, GPT2_LARGE, GPT2_MEDIUM, GPT2_XL

SIZES = {"gpt2": GPT2, "medium": GPT2_MEDIUM, "large": GPT2_LARGE, "xl": GPT2_XL}
PARTS = {
    "feed-forward": style.BLUE,
    "attention": style.ORANGE,
    "token table": style.GREEN,
    "position table": style.RED,
    "norms": style.GREY,
}


def main() -> None:
    fig, (millions, shares) = style.figure(2, width=3.4, height=2.9)
    below, below_share = dict.fromkeys(SIZES, 0.0), dict.fromkeys(SIZES, 0.0)
    for part, colour in PARTS.items():
        for name, config in SIZES.items():
            held, total = count(config, 0)[part].parameters, parameters(config, 0)
            label = part if name == "gpt2" else None
            millions.bar(name, held / 1e6, bottom=below[name], color=colour, width=0.7, label=label)
            shares.bar(name, held / total, bottom=below_share[name], color=colour, width=0.7)
            below[name] += held / 1e6
            below_share[name] += held / total
    for name, config in SIZES.items():
        flops = training_flops(config, 0, config.context)
        millions.annotate(
            f"{below[name]:,.0f}M\n{flops / 1e9:.1f} GFLOPs", (name, below[name]), ha="center", va="bottom", fontsize=7
        )
    millions.legend(frameon=False, fontsize=7, loc="upper left", reverse=True)
    millions.set(ylabel="parameters (millions)", ylim=(0, 1900), title="size, and training FLOPs a token")
    shares.set(ylabel="share of the parameters", title="where they are")
    style.save(fig, "gpt2")


if __name__ == "__main__":
    main()
