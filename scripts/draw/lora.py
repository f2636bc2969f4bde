"""Draws docs/stages/lora.png: how fast adapters of several ranks learn beside full finetuning, and what a step costs.

python scripts/draw/lora.py runs/draw      needs the corpus tinyshakespeare; under two minutes on 2 quiet cores
"""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import style
from trained import folder

from jaxdec.config.run import DataConfig, OptimConfig, RunConfig, TrainConfig
from jaxdec.config.trainable import Everything, LastBlocks, LoRA, Trainable
from jaxdec.data.shards import prepare
from jaxdec.models.functional import Model
from jaxdec.recipes import load_recipe
from jaxdec.stages.run import train
from jaxdec.training.learner import Learner, trainable_names
from jaxdec.training.loop import train_step
from jaxdec.training.losses import LANGUAGE
from jaxdec.training.optim import make_optimizer
from jaxdec.training.state import new_state

FULL_RATE, RATE = 1e-3, 1e-2  # adapters want a higher rate: their product starts at zero
KINDS: dict[str, tuple[Trainable, str]] = {
    "everything": (Everything(), style.BLUE),
    "last block": (LastBlocks(1), style.GREY),
    "LoRA, rank 1": (LoRA(1, 2.0), style.RED),
    "LoRA, rank 4": (LoRA(4, 8.0), style.ORANGE),
    "LoRA, rank 16": (LoRA(16, 32.0), style.GREEN),
}


def recipe(corpus: str, steps: int, rate: float) -> RunConfig:
    config = load_recipe("char-gpt")
    return replace(
        config,
        model=replace(config.model, width=64, layers=2, context=32),
        data=DataConfig(corpus),
        optim=OptimConfig(learning_rate=rate, min_learning_rate=rate / 10, warmup_steps=20),
        train=TrainConfig(steps=steps, tokens_per_step=1024, eval_every=25, eval_batches=20, checkpoint_every=steps),
    )


def losses(name: str, trainable: Trainable) -> tuple[list[int], list[float]]:
    """Validation loss by step of a run that starts from the base."""
    run = folder() / f"lora-{name.replace(' ', '-').replace(',', '')}"
    if not (run / "summary.json").exists():
        rate = RATE if isinstance(trainable, LoRA) else FULL_RATE
        train(replace(recipe(str(playlets()), 300, rate), init_from=str(base()), trainable=trainable), run)
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    found = [(line["step"], line["validation_loss"]) for line in lines if "validation_loss" in line]
    return [step for step, _ in found], [loss for _, loss in found]


def playlets() -> Path:
    """The playlets without their scenes' numbers, which Shakespeare's characters lack."""
    path = folder() / "playlets.txt"
    if not path.exists():
        data = prepare(DataConfig("playlets"))
        text = data.tokenizer.decode(np.asarray(data.train[: 10**6]))
        path.write_text("".join(letter for letter in text if not letter.isdigit()))
    return path


def base() -> Path:
    run = folder() / "lora-base"
    if not (run / "summary.json").exists():
        train(recipe("tinyshakespeare", 1000, 3e-3), run)
    return run


def cost(trainable: Trainable) -> tuple[float, int]:
    """FLOPs of a compiled train step of the recipe's model, and numbers in the optimizer's state."""
    config = replace(load_recipe("char-gpt"), trainable=trainable)
    config = replace(config, model=replace(config.model, vocab_size=65))
    model = Model.of(config)
    learner = Learner(model, make_optimizer(config.optim, 10), LANGUAGE, trainable_names(trainable, model.axes))
    shape = (1, config.batch_size, config.window)
    batch = {name: jnp.ones(shape, jnp.int32) for name in ("tokens", "targets")} | {"mask": jnp.ones(shape)}
    state = jax.eval_shape(lambda: new_state(learner, model.init(jax.random.key(0))))
    step = jax.jit(lambda state: train_step(learner, state, batch, jax.random.key(0))[0]).lower(state).compile()
    counted: Any = step.cost_analysis()
    return counted["flops"], sum(leaf.size for leaf in jax.tree.leaves(state["opt"]))


def main() -> None:
    fig, (curves, costs) = style.figure(2, width=3.8)
    for name, (trainable, colour) in KINDS.items():
        steps, values = losses(name, trainable)
        print(f"{name}: {values[-1]:.3f} after {steps[-1]} steps")
        curves.plot(steps, values, color=colour, label=name)
    curves.set(title="Shakespeare to playlets", xlabel="step", ylabel="validation loss, nats")
    curves.legend(frameon=False, fontsize=7)
    (full, moments), figures = cost(Everything()), {name: cost(kind) for name, (kind, _) in KINDS.items()}
    for name, (flops, numbers) in figures.items():
        print(f"{name}: {flops / full:.1%} of the FLOPs, {numbers / moments:.1%} of the moments ({numbers:,})")
    places = np.arange(len(KINDS))
    costs.bar(places - 0.2, [flops / full for flops, _ in figures.values()], 0.4, color=style.BLUE, label="FLOPs")
    costs.bar(places + 0.2, [n / moments for _, n in figures.values()], 0.4, color=style.ORANGE, label="moments")
    costs.set_xticks(places, [name.replace("LoRA, ", "LoRA\n").replace("last block", "last\nblock") for name in KINDS])
    costs.tick_params(axis="x", labelsize=7)
    costs.set(title="a train step, beside full finetuning", ylim=(0, 1.1))
    costs.legend(frameon=False, fontsize=7)
    path = style.FOLDER.parent / "stages" / "lora.png"
    fig.savefig(path, dpi=110)
    print(path)


if __name__ == "__main__":
    main()
