"""Instruction finetuning through the loop: packing changes no loss, and runs whose batches differ in length resume."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import jax
import numpy as np
import pytest

from jaxdec.checkpoints.checkpoints import restore_params
from jaxdec.config.decoder import DecoderConfig
from jaxdec.config.documents import Separate
from jaxdec.config.instruct import Buckets, Instruct, Own, Packed
from jaxdec.config.positions import RoPE
from jaxdec.config.run import DataConfig, MeshConfig, OptimConfig, RunConfig, TrainConfig
from jaxdec.config.tokenizers import BPE
from jaxdec.runs.directory import require_run
from jaxdec.stages.run import open_stage, resume, train
from jaxdec.training.losses import LANGUAGE
from tests.tiny import generic_params

KEY = jax.random.key(0)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> RunConfig:
    """Entries of very different lengths."""
    folder = tmp_path_factory.mktemp("instructions")
    (folder / "form.txt").write_text("{instruction}:{response}")
    entries = [{"instruction": f"count to {n % 7}", "output": " ".join("abcdefg"[: n % 7 + 1])} for n in range(14)]
    entries = [{**each, "instruction": each["instruction"] + "!#" * n} for n, each in enumerate(entries)]
    (folder / "own.jsonl").write_text("".join(json.dumps(each) + "\n" for each in entries))
    return RunConfig(
        model=DecoderConfig(layers=1, heads=2, width=16, context=64, position=RoPE()),
        data=DataConfig(str(folder / "own.jsonl"), BPE(270), validation_fraction=0.1),
        stage=Instruct(template=Own(str(folder / "form.txt")), batching=Buckets(12), test_fraction=0.0),
        optim=OptimConfig(learning_rate=1e-2, warmup_steps=2),
        train=TrainConfig(steps=12, tokens_per_step=256, steps_per_dispatch=2, checkpoint_every=6, evaluate="none"),
        mesh=MeshConfig(data=1),
    )


def test_packed_entries_have_the_loss_that_they_have_alone(run: RunConfig) -> None:
    """The sum over an epoch, of buckets and of rows that entries share: attention and the mask respect the borders."""
    separate = replace(run, model=replace(run.model, documents=Separate()))
    sums = []
    for batching in (Buckets(12), Packed()):
        assert isinstance(run.stage, Instruct)
        _, stage = open_stage(replace(separate, stage=replace(run.stage, batching=batching)))
        params = generic_params(stage.model)
        batches = [stage.batch(0, step) for step in range(stage.batch.per_epoch)]  # type: ignore[attr-defined]
        loss = jax.jit(lambda params, batch, stage=stage: LANGUAGE.loss(stage.model.read, params, batch, KEY)[0])
        total = sum(float(loss(params, batch)) for batch in batches)
        sums.append((total, sum(float(LANGUAGE.count(batch)) for batch in batches), len(batches)))
    (loss, count, many), (packed_loss, packed_count, few) = sums
    assert packed_count == count and few < many
    assert packed_loss == pytest.approx(loss, rel=1e-5)


@pytest.mark.long
def test_a_killed_run_goes_on_bit_for_bit_though_dispatches_differ_in_length(run: RunConfig, tmp_path: Path) -> None:
    _, stage = open_stage(run)
    shapes = [stage.batch(run.train.seed, step)["tokens"].shape for step in range(12)]
    assert len(set(shapes[6:])) > 1, "the part that is done again has batches of several lengths"
    train(run, tmp_path / "run")
    whole, _ = restore_params(tmp_path / "run" / "checkpoints")
    shutil.rmtree(tmp_path / "run" / "checkpoints" / "12")
    resume(tmp_path / "run", require_run(tmp_path / "run"))
    for name, param in restore_params(tmp_path / "run" / "checkpoints")[0].items():
        assert np.asarray(param).tobytes() == np.asarray(whole[name]).tobytes(), name
