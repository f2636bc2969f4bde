"""Spam from a model that was pretrained on the training split's own messages, without their labels: three seeds, then
with fewer parameters trained. The figures of docs/stages/classify.md; runs that are there already are not repeated.

    python scripts/spam.py runs/messages                # all
    python scripts/spam.py runs/messages seed1 lora     # these alone
"""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path

from jaxdec.config.classify import Classify
from jaxdec.config.run import RunConfig
from jaxdec.config.stages import Pretrain
from jaxdec.config.trainable import LastBlocks, LoRA
from jaxdec.data.labelled import prepare_labelled
from jaxdec.recipes import load_recipe
from jaxdec.stages.run import train

PRETRAINING_STEPS = 300


def messages(config: RunConfig, file: Path) -> Path:
    """The texts of the training split, one a line: no message that is validated or tested on is among them."""
    assert isinstance(config.stage, Classify)
    training = prepare_labelled(config.data, config.stage, config.window).splits["training"]
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("\n".join(training.texts) + "\n", encoding="utf-8")
    return file


def pretraining(config: RunConfig, text: Path) -> RunConfig:
    return replace(
        config,
        stage=Pretrain(),
        data=replace(config.data, corpus=str(text)),
        optim=replace(config.optim, learning_rate=1e-3, min_learning_rate=1e-4),
        train=replace(config.train, steps=PRETRAINING_STEPS, checkpoint_every=PRETRAINING_STEPS, eval_every=100),
    )


def variants(config: RunConfig, before: Path) -> dict[str, RunConfig]:
    """The runs by name."""
    after = replace(config, init_from=str(before))
    seeds = {f"seed{seed}": replace(after, train=replace(after.train, seed=seed)) for seed in (1, 2, 3)}
    few = {"classifier": LastBlocks(0), "last_block": LastBlocks(1), "lora": LoRA()}
    return seeds | {name: replace(seeds["seed1"], trainable=trainable) for name, trainable in few.items()}


def main() -> None:
    out, names = Path(sys.argv[1]), sys.argv[2:]
    config, before = load_recipe("spam"), out / "before"
    if not (before / "summary.json").exists():
        train(pretraining(config, messages(config, out / "training.txt")), before)
    runs = variants(config, before)
    for name in names or runs:
        if not (out / name / "summary.json").exists():
            train(runs[name], out / name)
    for name in runs:
        if (out / name / "summary.json").exists():
            scores = json.loads((out / name / "summary.json").read_text())
            low, high = (100 * scores[f"test_accuracy_{end}"] for end in ("low", "high"))
            print(f"{name:<12}test accuracy {100 * scores['test_accuracy']:.2f} % ({low:.1f} - {high:.1f})")


if __name__ == "__main__":
    main()
