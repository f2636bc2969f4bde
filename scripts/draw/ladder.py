"""Draws docs/ladder/ladder.png: what `jaxdec ladder` reaches on plays and on tiny Shakespeare."""

from __future__ import annotations

import style
from trained import folder

from jaxdec.bench.ladder import CLIMB, climb
from jaxdec.cli.ladder import DATA, TRAIN

CORPORA = {"playlets": style.BLUE, "tinyshakespeare": style.ORANGE}


def main() -> None:
    fig, panels = style.figure(len(CORPORA), width=3.6, height=3.0)
    for ax, (corpus, colour) in zip(panels, CORPORA.items(), strict=True):
        data = type(DATA)(corpus, sweep_stride=DATA.sweep_stride)
        rows = climb(CLIMB, data, TRAIN, folder() / f"ladder-{corpus}", from_file=None)
        bars = ax.barh([row["rung"] for row in rows], [row["loss"] for row in rows], color=colour, height=0.7)
        ax.bar_label(bars, fmt="%.3f", padding=2, fontsize=7)
        if rows[0]["floor"] is not None:
            ax.axvline(rows[0]["floor"], color="black", ls="--", lw=1, label=f"entropy floor  {rows[0]['floor']:.3f}")
            ax.legend(frameon=False, fontsize=7, loc="lower right")
        ax.invert_yaxis()
        ax.margins(x=0.15)
        ax.set(xlabel="validation loss (nats)", title=corpus)
    panels[1].set_yticklabels([])
    style.save(fig, "ladder")


if __name__ == "__main__":
    main()
