"""Interrupted and resumed equals uninterrupted, bit for bit: real processes, killed at inconvenient moments."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import jaxdec
from jaxdec.checkpoints.checkpoints import restore_params
from jaxdec.checkpoints.files import complete_steps, unfinished
from jaxdec.cli.main import main

STEPS = 120
SETTINGS = {
    "model.layers": 1,
    "model.heads": 2,
    "model.width": 16,
    "model.context": 16,
    "model.dropout": 0.1,  # resumes only if the keys do
    "data.sweep-stride": 16,
    "optim.warmup-steps": 5,
    "train.tokens-per-step": 64,
    "train.steps": STEPS,
    "train.steps-per-dispatch": 4,
    "train.log-every": 1,
    "train.eval-every": 40,
    "train.eval-batches": 2,
    "train.checkpoint-every": 10,
}


def flags(**changes: Any) -> list[str]:
    settings = SETTINGS | {name.replace("__", "."): value for name, value in changes.items()}
    return [word for name, value in settings.items() for word in (f"--{name}", str(value))]


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Text in which nothing is certain, so that parameters move at every step."""
    path = tmp_path_factory.mktemp("corpus") / "dice.txt"
    dice = random.Random(6)
    path.write_text("".join(dice.choice("abcdef \n") for _ in range(9000)), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory, corpus: Path) -> Path:
    """A run that nothing interrupted."""
    folder = tmp_path_factory.mktemp("whole") / "run"
    assert main(["train", "char-gpt", *flags(), "--data.corpus", str(corpus), "--out", str(folder)]) == 0
    return folder


def checkpoints_of(run: Path) -> Path:
    return run / "checkpoints"


def fingerprints_of(run: Path, step: int) -> dict[str, Any]:
    """Of the whole train state: parameters, moments and counters."""
    return json.loads((checkpoints_of(run) / str(step) / "meta" / "metadata").read_text())["integrity"]["leaves"]


def computed(run: Path) -> list[dict[str, Any]]:
    """The lines of metrics.jsonl in order, without what a clock measured."""
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    return [
        {name: value for name, value in line.items() if "second" not in name and "flops" not in name} for line in lines
    ]


def assert_same_run(run: Path, whole: Path, step: int = STEPS) -> None:
    """Same bits in every parameter and moment, and the same numbers logged, each once."""
    params, meta = restore_params(checkpoints_of(run))
    expected, _ = restore_params(checkpoints_of(whole))
    assert meta["step"] == step
    assert params.keys() == expected.keys()
    for name in expected:
        assert np.asarray(params[name]).tobytes() == np.asarray(expected[name]).tobytes(), name
    assert fingerprints_of(run, step) == fingerprints_of(whole, step)
    assert computed(run) == computed(whole)


class Started:
    """A command in a process of its own."""

    def __init__(self, *words: object, program: tuple[str, ...] = ("-m", "jaxdec.cli.main")) -> None:
        root = str(Path(jaxdec.__file__).parents[1])
        path = os.pathsep.join(filter(None, [root, os.environ.get("PYTHONPATH")]))
        self.told = tempfile.TemporaryFile()  # a pipe that nobody empties would block the process
        self.process = subprocess.Popen(
            [sys.executable, *program, *map(str, words)],
            env=os.environ | {"PYTHONPATH": path},
            stdout=subprocess.DEVNULL,
            stderr=self.told,
        )

    def signal_when(self, happens: Callable[[], bool], number: signal.Signals) -> str:
        """Sends `number` as soon as `happens`, which must be before the end; returns what stderr said by then."""
        while not happens():
            if self.process.poll() is not None:
                pytest.fail(f"ended before it could be stopped: {self.end()}")
            time.sleep(0.001)
        self.process.send_signal(number)
        return self.end()

    def end(self) -> str:
        self.process.wait(timeout=120)
        self.told.seek(0)
        told = self.told.read().decode()
        self.told.close()
        assert "Traceback" not in told, told
        return told


def logged(run: Path, step: int) -> Callable[[], bool]:
    """Whether training has got so far, as metrics.jsonl tells."""

    def happens() -> bool:
        path = run / "metrics.jsonl"
        return path.exists() and f'"step": {step},' in path.read_text()

    return happens


@pytest.mark.parametrize("seed", range(3, 9))
@pytest.mark.long
def test_killed_again_and_again(tmp_path: Path, corpus: Path, whole: Path, seed: int) -> None:
    run, dice = tmp_path / "run", random.Random(seed)
    start = ("train", "char-gpt", *flags(), "--data.corpus", corpus, "--out", run)
    moments: list[Callable[[], bool]] = [
        (run / "config.yaml").exists,  # before there is a checkpoint
        logged(run, dice.randrange(20, 40)),
        lambda: any(step > 50 for step in unfinished(checkpoints_of(run))),  # in the middle of a save
        logged(run, dice.randrange(70, 85)),
    ]
    cut_short = False
    for index, moment in enumerate(moments):
        told = Started(*start if index == 0 else ("resume", run)).signal_when(moment, signal.SIGKILL)
        assert ("is partial (its save was interrupted)" in told) == cut_short, told
        assert not (run / "summary.json").exists()
        cut_short = bool(unfinished(checkpoints_of(run)))
    told = Started("resume", run).end()
    assert ("is partial (its save was interrupted)" in told) == cut_short, told
    assert_same_run(run, whole)


def test_killed_in_the_middle_of_a_save(tmp_path: Path, corpus: Path, whole: Path) -> None:
    """A save that never ends, so that the kill cannot miss it."""
    run = tmp_path / "run"
    program = """
import sys, threading
import orbax.checkpoint
from jaxdec.checkpoints.checkpoints import Checkpoints
save = Checkpoints.save

def save_without_end(self, step, state, meta):
    if step == 50:
        self.wait()  # the save before this one must not hang too
        orbax.checkpoint.CompositeCheckpointHandler.finalize = lambda *_: threading.Event().wait()
    save(self, step, state, meta)

Checkpoints.save = save_without_end
from jaxdec.cli.main import main
sys.exit(main())
"""
    child = Started("train", "char-gpt", *flags(), "--data.corpus", corpus, "--out", run, program=("-c", program))
    child.signal_when(lambda: 50 in unfinished(checkpoints_of(run)), signal.SIGKILL)
    assert complete_steps(checkpoints_of(run))[-1] == 40
    assert list(unfinished(checkpoints_of(run))) == [50]
    told = Started("resume", run).end()
    assert f"checkpoint 50 in {checkpoints_of(run)} is partial (its save was interrupted): removed" in told
    assert_same_run(run, whole)


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGTERM to catch")
def test_asked_to_stop_it_saves_first(tmp_path: Path, corpus: Path, whole: Path) -> None:
    run = tmp_path / "run"
    start = ("train", "char-gpt", *flags(train__checkpoint_every=1000), "--data.corpus", corpus, "--out", run)
    child = Started(*start)
    told = child.signal_when(logged(run, 33), signal.SIGTERM)
    assert child.process.returncode == 128 + signal.SIGTERM
    (step,) = complete_steps(checkpoints_of(run))
    assert 33 <= step < STEPS
    assert f"SIGTERM at step {step}, saved" in told
    assert f"jaxdec resume {run}" in told
    assert computed(run)[-1]["step"] <= step
    assert main(["resume", str(run)]) == 0
    # Only how often it saves differs from the whole run.
    assert fingerprints_of(run, STEPS) == fingerprints_of(whole, STEPS)
    assert computed(run) == computed(whole)


def test_resumed_from_any_step(tmp_path: Path, corpus: Path) -> None:
    """Checkpoints in the middle of a dispatch, at its ends, and one step before the last."""
    whole = tmp_path / "whole"
    settings = flags(train__steps=22, train__checkpoint_every=3, train__keep_checkpoints=99, train__eval_every=6)
    assert main(["train", "char-gpt", *settings, "--data.corpus", str(corpus), "--out", str(whole)]) == 0
    steps = complete_steps(checkpoints_of(whole))
    assert steps == [3, 6, 9, 12, 15, 18, 21, 22]
    for step in (3, 12, 21, 22):
        run = Path(shutil.copytree(whole, tmp_path / f"from{step}"))
        for later in steps:
            if later > step:
                shutil.rmtree(checkpoints_of(run) / str(later))
        assert main(["resume", str(run)]) == 0
        assert_same_run(run, whole, step=22)


@pytest.mark.parametrize("mesh", [("--mesh.data", "1"), ("--mesh.data", "1", "--mesh.fsdp", "2")])
def test_resumed_on_fewer_devices(tmp_path: Path, whole: Path, mesh: tuple[str, ...]) -> None:
    """Sums are taken in another order then, so that the last steps agree to rounding."""
    run = Path(shutil.copytree(whole, tmp_path / "run"))
    shutil.rmtree(checkpoints_of(run) / str(STEPS))
    assert main(["resume", str(run), *mesh]) == 0
    params, meta = restore_params(checkpoints_of(run))
    expected, _ = restore_params(checkpoints_of(whole))
    assert meta["config"]["mesh"]["data"] == 1
    for name in expected:
        np.testing.assert_allclose(params[name], expected[name], rtol=0, atol=1e-4, err_msg=name)


def test_the_newest_checkpoint_is_damaged(tmp_path: Path, whole: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = Path(shutil.copytree(whole, tmp_path / "run"))
    folder = checkpoints_of(run)
    arrays = max((folder / str(STEPS) / "state" / "d").iterdir(), key=lambda path: path.stat().st_size)
    data = bytearray(arrays.read_bytes())
    data[len(data) // 2] ^= 1
    arrays.write_bytes(data)
    assert main(["resume", str(run)]) == 0
    told = capsys.readouterr().err
    assert f"checkpoint {STEPS} in {folder} is damaged (" in told
    assert f"moved to {STEPS}.damaged; using checkpoint {STEPS - 10}" in told
    assert_same_run(run, whole)


@pytest.mark.parametrize(
    ("file", "old", "new", "named"),
    [
        ("config.yaml", "width: 16", "width: 32", "model.width: 16 -> 32"),
        ("config.yaml", "learning_rate: 0.001", "learning_rate: 0.002", "optim.learning_rate: 0.001 -> 0.002"),
        ("config.yaml", "seed: 1337", "seed: 7", "train.seed: 1337 -> 7"),
    ],
)
def test_a_changed_run_is_refused_by_name(
    tmp_path: Path, whole: Path, capsys: pytest.CaptureFixture[str], file: str, old: str, new: str, named: str
) -> None:
    run = Path(shutil.copytree(whole, tmp_path / "run"))
    text = (run / file).read_text()
    assert old in text
    (run / file).write_text(text.replace(old, new, 1))
    refused_unchanged(run, capsys, named)


def test_a_changed_tokenizer_is_refused_by_name(
    tmp_path: Path, whole: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from jaxdec.data.tokenizers.registry import CharTokenizer

    run = Path(shutil.copytree(whole, tmp_path / "run"))
    shutil.rmtree(run / "tokenizer")
    CharTokenizer("\n abcdeg").save(run / "tokenizer")
    refused_unchanged(run, capsys, "tokenizer")


def test_a_changed_corpus_is_refused_by_name(
    tmp_path: Path, corpus: Path, whole: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = corpus.read_text()
    corpus.write_text(text.replace("a", "b", 1))
    try:
        refused_unchanged(Path(shutil.copytree(whole, tmp_path / "run")), capsys, "corpus")
    finally:
        corpus.write_text(text)


def refused_unchanged(run: Path, capsys: pytest.CaptureFixture[str], named: str) -> None:
    """`resume` must end with one line that holds `named`, and write nothing."""
    before = {path: path.read_bytes() for path in sorted(run.rglob("*")) if path.is_file()}
    capsys.readouterr()
    assert main(["resume", str(run)]) == 2
    told = capsys.readouterr().err
    assert named in told
    assert told.count("\n") == 1, told
    assert {path: path.read_bytes() for path in sorted(run.rglob("*")) if path.is_file()} == before


@pytest.mark.long
@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no limit on the size of a file")
def test_a_disk_that_fills_up_during_training(tmp_path: Path, corpus: Path, whole: Path) -> None:
    run = tmp_path / "run"
    program = """
import resource, sys
from jaxdec.checkpoints.checkpoints import Checkpoints
save = Checkpoints.save

def save_on_a_full_disk(self, step, state, meta):
    if step == 30:
        self.wait()
        resource.setrlimit(resource.RLIMIT_FSIZE, (9000, resource.RLIM_INFINITY))
    save(self, step, state, meta)

Checkpoints.save = save_on_a_full_disk
from jaxdec.cli.main import main
sys.exit(main())
"""
    child = Started(*("train", "char-gpt", *flags(), "--data.corpus", corpus, "--out", run), program=("-c", program))
    told = child.end()
    assert child.process.returncode == 2
    assert f"checkpoint 30 could not be saved in {checkpoints_of(run)}: File too large; " in told
    assert "the newest good checkpoint is 20" in told
    assert sorted(path.name for path in checkpoints_of(run).iterdir()) == ["10", "20"]
    assert main(["resume", str(run)]) == 0  # once there is room
    assert_same_run(run, whole)
