"""Instruction finetuning: predict the response to an instruction, and the end token behind it."""

from __future__ import annotations

from pathlib import Path

from jaxdec.config.decoder import DecoderConfig
from jaxdec.config.documents import Separate
from jaxdec.config.instruct import Instruct, Packed
from jaxdec.config.run import RunConfig
from jaxdec.data.instructions.batches import InstructionBatches, rows_of
from jaxdec.data.instructions.examples import InstructionDataset, counts, prepare_instructions
from jaxdec.data.tokenizers.registry import Tokenizer
from jaxdec.errors import UserError
from jaxdec.evaluation.instructions.losses import all_entries, first_batches
from jaxdec.evaluation.instructions.responses import TestResponses
from jaxdec.evaluation.text import make_window_losses
from jaxdec.models.functional import Model
from jaxdec.training.losses import LANGUAGE
from jaxdec.training.stage import Stage


def load_data(config: RunConfig, *, from_file: Path | None, tokenizer: Tokenizer | None) -> InstructionDataset:
    """The entries of the corpus that fit the window. Says how many there are."""
    stage, model = config.resolved_stage, config.model
    assert isinstance(stage, Instruct) and isinstance(model, DecoderConfig)
    if isinstance(stage.batching, Packed) and not isinstance(model.documents, Separate):
        raise UserError(
            "stage.batching packed puts several entries into a row, which must not read one another: give "
            "--model.documents separate"
        )
    data = prepare_instructions(config.data, stage, config.window, from_file=from_file, tokenizer=tokenizer)
    describe(data, config.window)
    return data


def describe(data: InstructionDataset, window: int) -> None:
    """Prints a line or two: entries of each split, their tokens, and what was too long."""
    sizes = ", ".join(f"{len(found):,} {name}" for name, found in data.entries.items())
    tokens, targets = counts(data.entries["training"])
    print(f"entries   {sizes}; {tokens:,} tokens to train on, {targets:,} of them of responses")
    for what, found in (("left out", data.left_out), ("cut", data.cut)):
        if sum(found.values()):
            by_split = ", ".join(f"{count:,} {name}" for name, count in found.items() if count)
            print(f"          longer than the window of {window} tokens and {what}: {by_split}")


def make_stage(config: RunConfig, model: Model, data: InstructionDataset) -> Stage:
    """Entries of the training split; losses on the way, and at the end responses to the test split beside them."""
    stage = config.resolved_stage
    assert isinstance(stage, Instruct)
    window_losses = make_window_losses(model)
    responses = TestResponses(model, window_losses, data)
    return Stage(
        model=model,
        batch=InstructionBatches(
            rows_of(data.entries["training"], stage.batching, config.window),
            stage.batching,
            config.window,
            data.end,
            config.batch_size,
            prompt_counts=stage.prompt_loss == "counted",
            steps_per_dispatch=config.train.steps_per_dispatch,
        ),
        objective=LANGUAGE,
        evaluators=(first_batches(window_losses, config, data),),
        final_evaluators=(all_entries(window_losses, config, data), responses.evaluate),
        tokenizer=data.tokenizer,
        data=data.hash,
        files=responses.write,
    )
