"""Draws docs/ladder/char_decoder.png: the validation loss of each rung on playlets while it trains."""

from __future__ import annotations

import json

import style
from trained import run_of

from jaxdec.runs.metrics import read_metrics

RUNGS = {
    "bigram": style.GREY,
    "single-head": style.GREEN,
    "multi-head": style.BLUE,
    "one-block": style.ORANGE,
    "char-decoder": style.RED,
    "char-gpt": "black",
}


def main() -> None:
    fig, (ax,) = style.figure(1, width=5.4, height=3.4)
    floor = 0.0
    for recipe, colour in RUNGS.items():
        run_dir = run_of(recipe)
        rows = [row for row in read_metrics(run_dir / "metrics.jsonl") if row.get("validation_loss") is not None]
        summary = json.loads((run_dir / "summary.json").read_text())
        floor, loss = summary["floor"], summary["sweep_loss"]
        tokens = [row["step"] * summary["tokens"] / summary["steps"] / 1e6 for row in rows]
        losses = [row["validation_loss"] for row in rows]
        ax.plot(tokens, losses, "o-", ms=3, color=colour, label=f"{recipe}  {loss:.3f}")
    ax.axhline(floor, color="black", ls="--", lw=1, label=f"entropy floor  {floor:.3f}")
    ax.set(xlabel="million characters read", ylabel="validation loss (nats)", ylim=(0, 2.6), title="playlets")
    ax.legend(frameon=False, fontsize=7, title="sweep loss at the end", title_fontsize=7, bbox_to_anchor=(1, 1))
    style.save(fig, "char_decoder")


if __name__ == "__main__":
    main()
