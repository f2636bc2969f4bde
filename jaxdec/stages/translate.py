"""Training of encoder-decoders: predict the target of a pair from its source and the target's tokens so far."""

from __future__ import annotations

from pathlib import Path

from jaxdec.config.run import RunConfig
from jaxdec.data.pairs import PairBatches, PairDataset, prepare_pairs
from jaxdec.data.tokenizers.registry import Tokenizer
from jaxdec.evaluation.bleu import require_sacrebleu, signature
from jaxdec.evaluation.pairs import all_pairs, first_batches, make_row_scores, translations
from jaxdec.models.functional import Model
from jaxdec.training.losses import LANGUAGE
from jaxdec.training.stage import Stage


def load_data(config: RunConfig, *, from_file: Path | None, tokenizer: Tokenizer | None) -> PairDataset:
    """The corpus of pairs, those that fit the window. Says how many there are."""
    data = prepare_pairs(config.data, config.window, from_file=from_file, tokenizer=tokenizer)
    if not data.determined:
        require_sacrebleu()
    dropped = ", ".join(f"{count:,} {name}" for name, count in data.dropped.items())
    print(
        f"pairs   {len(data.train):,} training, {len(data.validation):,} validation; longer than the window of "
        f"{config.window} tokens and left out: {dropped}"
    )
    return data


def make_stage(config: RunConfig, model: Model, data: PairDataset) -> Stage:
    """Pairs of the training split; losses on the way, and at the end translations of unseen sources beside them."""
    row_scores = make_row_scores(model)
    return Stage(
        model=model,
        batch=PairBatches(data.train, data.boundary, config.batch_size),
        objective=LANGUAGE,
        evaluators=(first_batches(row_scores, config, data),),
        final_evaluators=(all_pairs(row_scores, config, data), translations(model, data)),
        tokenizer=data.tokenizer,
        data=data.hash,
        notes={} if data.determined else {"bleu_signature": signature()},
    )
