"""Classification: which class a text belongs to, read off the model's last hidden state by a linear layer."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from jaxdec.config.run import RunConfig
from jaxdec.data.labelled import SPLITS, LabelledBatches, LabelledDataset, prepare_labelled
from jaxdec.data.tokenizers.registry import Tokenizer
from jaxdec.evaluation.class_pictures import write_pictures
from jaxdec.evaluation.classification import all_scores, make_class_logits, on_the_way, stage_of
from jaxdec.models.functional import Model
from jaxdec.training.classification import classification
from jaxdec.training.stage import Stage


def load_data(config: RunConfig, *, from_file: Path | None, tokenizer: Tokenizer | None) -> LabelledDataset:
    """Texts with labels. Says how many there are of each class and split, and which were left out or cut."""
    stage = stage_of(config)
    data = prepare_labelled(config.data, stage, config.window, from_file=from_file, tokenizer=tokenizer)
    for name in SPLITS:
        rows = data.splits[name]
        counts = ", ".join(f"{(rows.labels == number).sum():,} {label}" for number, label in enumerate(data.labels))
        cut = f"; {rows.truncated:,} cut to the window of {config.window} tokens" if rows.truncated else ""
        print(f"texts   {name:<10} {len(rows):>6,}: {counts}{cut}")
    if data.left_out:
        print("        left out: " + ", ".join(f"{count:,} {reason}" for reason, count in data.left_out.items()))
    return data


def make_stage(config: RunConfig, model: Model, data: LabelledDataset) -> Stage:
    """Texts of the training split; loss and accuracy on the way, every score of every split at the end."""
    stage = stage_of(config)
    class_logits = make_class_logits(model, stage)
    return Stage(
        model=model,
        batch=LabelledBatches(data.splits["training"], data.weights, config.batch_size),
        objective=classification(stage.at),
        evaluators=(on_the_way(class_logits, config, data),),
        final_evaluators=(all_scores(class_logits, config, data),),
        tokenizer=data.tokenizer,
        data=data.hash,
        files=partial(write_pictures, class_logits, config, data),
    )
