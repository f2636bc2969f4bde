"""Draws docs/ladder/moe_gpt.png: which experts the characters of a line go to, and the loads while training."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import style
from trained import folder

from jaxdec.config.parts import MLP, MoE
from jaxdec.layers.moe import router
from jaxdec.parity.adapters.probe import Probe
from jaxdec.parity.adapters.taps import nnx_probe
from jaxdec.recipes import load_recipe
from jaxdec.runs.loading import load_run
from jaxdec.runs.metrics import read_metrics
from jaxdec.stages.run import train

TEXT = "Ivy: Dov, then damp the Moth at noon."
EXPERTS, STEPS = 8, 600


def run_with(balance_loss: float) -> Path:
    """A small run of the recipe with this coefficient, trained now unless it is there."""
    run_dir = folder() / f"moe-gpt-balance-{balance_loss:g}"
    if not (run_dir / "summary.json").exists():
        config = load_recipe("moe-gpt")
        mixture = MoE(experts=EXPERTS, top_k=2, expert=MLP(expansion=2), balance_loss=balance_loss, init_scale=1.0)
        config = replace(
            config,
            model=replace(config.model, layers=2, width=64, mlp=(MLP(), mixture)),
            data=replace(config.data, sweep_stride=None),
            train=replace(config.train, steps=STEPS, eval_every=STEPS, checkpoint_every=STEPS),
        )
        train(config, run_dir)
    return run_dir


def gates_of(run_dir: Path, text: str) -> np.ndarray:
    """The weight of each expert for each character, [E,T], of the last mixture."""
    run = load_run(run_dir)
    module = run.model.module(run.params)
    probe = Probe()
    with nnx_probe(module, probe):
        module(jnp.asarray(run.tokenizer.encode(text))[None], jnp.dtype(run.model.precision.compute))
    scores_TE = probe.left["blocks.1.mlp.router"]
    chosen_TK = router.choose(scores_TE, 2)
    gates_ET = np.zeros((EXPERTS, len(text)))
    np.put_along_axis(gates_ET, np.asarray(chosen_TK.T), np.asarray(router.gates(scores_TE, chosen_TK, "chosen").T), 0)
    return gates_ET


def main() -> None:
    fig, axes = style.figure(2, width=3.8, height=2.5)
    balanced, free = run_with(0.01), run_with(0.0)
    axes[0].imshow(gates_of(balanced, TEXT), cmap="Blues", vmin=0, vmax=1, aspect="auto")
    axes[0].set_xticks(range(len(TEXT)), TEXT.replace(" ", "_"), fontsize=6)
    axes[0].tick_params(length=0)
    axes[0].set(title="two experts for each character, and their gates", ylabel="expert")
    for run_dir, colour, label in ((free, style.ORANGE, "without"), (balanced, style.BLUE, "with")):
        rows = [row for row in read_metrics(run_dir / "metrics.jsonl") if row.get("load.0") is not None][::3]
        for expert in range(EXPERTS):
            loads = [row[f"load.{expert}"] for row in rows]
            axes[1].plot([row["step"] for row in rows], loads, color=colour, lw=1, label=label if expert == 0 else None)
    axes[1].set(title="load of each expert (1: an even share)", xlabel="step", ylim=(0, 4.5))
    axes[1].legend(frameon=False, fontsize=7, title="balance loss", title_fontsize=7, loc="upper right")
    style.save(fig, "moe_gpt")


if __name__ == "__main__":
    main()
