"""Training of encoder-decoders: predict the target of a pair from its source and the target's tokens so far."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from jaxdec.config.run import RunConfig
from jaxdec.data.pairs import PairBatches, PairDataset, prepare_pairs
from jaxdec.data.tokenizers.registry import load_tokenizer
from jaxdec.evaluation.bleu import require_sacrebleu, signature
from jaxdec.evaluation.pairs import all_pairs, first_batches, translations
from jaxdec.models.functional import Model
from jaxdec.runs import directory as run_directory
from jaxdec.runs.loading import load_run
from jaxdec.stages.pretrain import with_vocabulary
from jaxdec.training.loop import fit
from jaxdec.training.losses import language_loss
from jaxdec.training.stage import Stage


def train(config: RunConfig, run_dir: Path, *, from_file: Path | None = None) -> dict[str, Any]:
    """Trains a new model into `run_dir`, which must not exist yet; returns the summary that `summary.json` holds."""
    run_directory.require_new(run_dir)
    dataset = prepare_pairs(config.check().data, config.window, from_file=from_file)
    config = with_vocabulary(config, dataset.tokenizer.vocab_size)
    return fit(config, make_stage(config, dataset), run_dir, resume=False)


def resume(run_dir: Path, config: RunConfig) -> dict[str, Any]:
    """Continues the run in `run_dir` from its newest good checkpoint, under the config read from it."""
    dataset = prepare_pairs(config.data, config.window, tokenizer=load_tokenizer(run_dir / "tokenizer"))
    return fit(config, make_stage(config, dataset), run_dir, resume=True)


def evaluate(run_dir: Path, step: int | None = None) -> dict[str, Any]:
    """What training reports at its end, for the newest good checkpoint of a run or that of `step`."""
    run = load_run(run_dir, step)
    dataset = prepare_pairs(run.config.data, run.config.window, tokenizer=run.tokenizer)
    evaluators = make_stage(run.config, dataset).final_evaluators
    values = dict(pair for evaluator in evaluators for pair in evaluator(run.params))
    return {"step": run.step} | values | ({"bleu_signature": signature()} if "bleu" in values else {})


def make_stage(config: RunConfig, dataset: PairDataset) -> Stage:
    """Batches, loss and evaluators of translation on `dataset`. Says how many pairs there are."""
    if not dataset.determined:
        require_sacrebleu()
    model = Model(config.model, config.precision)
    dropped = ", ".join(f"{count:,} {name}" for name, count in dataset.dropped.items())
    print(
        f"pairs   {len(dataset.train):,} training, {len(dataset.validation):,} validation; longer than the window of "
        f"{config.window} tokens and left out: {dropped}"
    )
    return Stage(
        batch=PairBatches(dataset.train, dataset.boundary, config.batch_size),
        loss=language_loss,
        evaluators=(first_batches(model, config, dataset),),
        final_evaluators=(all_pairs(model, config, dataset), translations(model, dataset)),
        tokenizer=dataset.tokenizer,
        data=dataset.hash,
    )
