"""Classification for real, on a tiny model: what a run writes, that it is evaluated and resumed, what it answers."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import jaxdec
from jaxdec.checkpoints.checkpoints import restore_params
from jaxdec.cli.main import main
from jaxdec.config.classify import Classify
from jaxdec.config.model import DecoderConfig
from jaxdec.config.run import DataConfig, MeshConfig, OptimConfig, RunConfig, TrainConfig
from jaxdec.config.trainable import LastBlocks, LoRA
from jaxdec.errors import UserError
from jaxdec.models.flops import parameters
from jaxdec.models.functional import Model
from jaxdec.runs.directory import require_run
from jaxdec.stages.run import evaluate, open_stage, open_training, resume, train
from jaxdec.training.learner import trainable_names

WINDOW = 16


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Numbers of several digits; those that are odd have an x in place of some digits."""
    path, rng, rows = tmp_path_factory.mktemp("corpus") / "numbers.csv", np.random.default_rng(0), []
    for number in range(300):
        digits = np.array(list(f"{number:03}{rng.integers(10**9)}"))
        if number % 2:
            digits[rng.random(len(digits)) < 0.5] = "x"
        rows.append(f"{''.join(digits)},{['even', 'odd'][number % 2]}")
    path.write_text("text,label\n" + "\n".join(rows) + "\n")
    return path


@pytest.fixture(scope="module")
def config(corpus: Path) -> RunConfig:
    return RunConfig(
        model=DecoderConfig(layers=1, heads=2, width=16, context=WINDOW),
        data=DataConfig(str(corpus), validation_fraction=0.2),
        stage=Classify(),
        optim=OptimConfig(learning_rate=2e-2, min_learning_rate=2e-3, warmup_steps=5),
        train=TrainConfig(
            steps=60,
            tokens_per_step=32 * WINDOW,
            steps_per_dispatch=15,
            log_every=15,
            eval_every=30,
            checkpoint_every=30,
        ),
        mesh=MeshConfig(data=1),
    )


@pytest.fixture(scope="module")
def run(config: RunConfig, tmp_path_factory: pytest.TempPathFactory) -> Path:
    run_dir = tmp_path_factory.mktemp("runs") / "numbers"
    train(config, run_dir)
    return run_dir


def summary_of(run: Path) -> dict[str, Any]:
    return json.loads((run / "summary.json").read_text())


def test_it_learns_and_says_how_well(run: Path) -> None:
    summary, saved = summary_of(run), require_run(run)
    assert summary["test_accuracy"] > 0.95 and summary["test_auroc"] > 0.95
    assert summary["test_accuracy_low"] < 0.95, "60 texts prove no more"
    right = summary["test_confusion/odd/odd"] + summary["test_confusion/even/even"]
    assert summary["test_accuracy"] == pytest.approx(right / 60)
    assert saved.stage == Classify(labels=("even", "odd")) and isinstance(saved.model, DecoderConfig)
    assert saved.model.classes == 2
    assert summary["parameters"] == parameters(saved.model, 0)
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines if "validation_accuracy" in line] == [30, 60]
    assert [line["step"] for line in lines if "accuracy" in line] == [15, 30, 45, 60]
    for name in ("confusion.png", "accuracy.png", "loss.png"):
        with Image.open(run / name) as picture:
            assert min(picture.size) > 300 and np.ptp(np.asarray(picture.convert("L"))) > 200, name


def test_evaluation_gives_the_same_figures_again(run: Path) -> None:
    summary, again = summary_of(run), evaluate(run)
    assert again.pop("step") == 60 and len(again) == 3 * (6 * 3 + 4)
    assert again == {name: summary[name] for name in again}


def test_a_killed_run_resumes_bit_for_bit(run: Path, tmp_path: Path) -> None:
    copy = tmp_path / "run"
    shutil.copytree(run, copy)
    shutil.rmtree(copy / "checkpoints" / "60")
    resume(copy, require_run(copy))
    whole, again = (restore_params(path / "checkpoints")[0] for path in (run, copy))
    for name, param in again.items():
        assert np.asarray(param).tobytes() == np.asarray(whole[name]).tobytes(), name


def test_it_answers_texts_and_says_what_it_cut(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["classify", str(run), "1x23x4xx", "56789012", "x1" * 10]) == 0
    told = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in told] == ["odd", "even", "odd", "1"]
    assert (
        told[0].split()[2:] == ["%", "1x23x4xx"]
        and told[3] == f"  1 of 3 texts cut to the model's window of {WINDOW} tokens"
    )
    (tmp_path / "texts").write_text("1x23x4xx\n\n56789012\n")
    assert main(["classify", str(run), "--file", str(tmp_path / "texts"), "--json"]) == 0
    texts = json.loads(capsys.readouterr().out)["texts"]
    assert [text["label"] for text in texts] == ["odd", "even"]
    for text in texts:
        assert text["probability"] == max(text["probabilities"].values()) > 0.9
        assert sum(text["probabilities"].values()) == pytest.approx(1)
        assert not text["truncated"]
    answer = jaxdec.load(run).classify("1x23x4xx")
    assert answer.label == "odd" and answer.probability == pytest.approx(texts[0]["probability"], rel=1e-5)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["{run}", " "], "the text is empty: give one with something to read"),
        (["{run}", ""], "TEXT... is empty: give one, or leave it out; see jaxdec classify --help"),
        (["{run}", "12", "a"], "the character 'a' (offset 0, line 1, column 1) is not in the tokenizer's vocabulary"),
        (["{run}", "12", "--file", "x"], "give texts or --file, not both"),
        (["{run}", "--file", "{folder}"], "is a folder: give the path of one UTF-8 text file"),
        (["{run}", "--file", "{binary}"], "is not UTF-8: byte 0xff at offset 2"),
        (["{run}", "--file", "{zeros}"], "is no text: it has a NUL byte at offset 1"),
        (["{run}", "--file", "{blank}"], "is empty: give one text a line"),
        (["{other}", "12"], "is a run of stage pretrain, not a classifier"),
        ([], "give the run directory: jaxdec classify RUN TEXT"),
    ],
)
def test_bad_input_gets_one_line(
    words: list[str], said: str, run: Path, config: RunConfig, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, content in (("binary", b"12\xff"), ("zeros", b"1\0"), ("blank", b"\n \n")):
        (tmp_path / name).write_bytes(content)
    (tmp_path / "folder").mkdir()
    shutil.copytree(run, tmp_path / "other", ignore=shutil.ignore_patterns("checkpoints"))
    other = replace(config, stage=None)
    jaxdec.config.yaml.save_config(other, tmp_path / "other" / "config.yaml")
    places = {path.name: str(path) for path in tmp_path.iterdir()} | {"run": str(run)}
    assert main(["classify", *(word.format(**places) for word in words)]) == 2
    captured = capsys.readouterr()
    assert said in captured.err and captured.err.count("\n") == 1 and not captured.out


def test_other_commands_refuse_a_classifier(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for words, said in (
        (["generate", run], f"is a classifier, which predicts no tokens: use jaxdec classify {run} TEXT"),
        (["convert", run, tmp_path / "out", "--to", "huggingface"], "model.classes is 2: other programs' layouts have"),
        (
            ["train", "char-gpt", "--init-from", run, "--out", tmp_path / "out"],
            "model.classes 2 makes the model",
        ),
    ):
        assert main([str(word) for word in words]) == 2
        captured = capsys.readouterr()
        assert said in captured.err and captured.err.count("\n") == 1
    with pytest.raises(UserError, match="the run is a classifier"):
        jaxdec.load(run).generate("1")
    with pytest.raises(UserError, match="a classifier is scored on texts with labels"):
        jaxdec.load(run).evaluate("1")


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"model": {"classes": 3}}, "model.classes is 3, and the data has 2 labels (even, odd)"),
        ({"stage": Classify(labels=("even", "uneven"))}, "has the label 'odd', which is none of the classes"),
        ({"stage": Classify(test_fraction=0.9)}, "are 1.1 together, which leaves nothing to train on"),
    ],
)
def test_settings_that_do_not_fit_the_data(changes: dict[str, Any], said: str, config: RunConfig) -> None:
    changed = replace(
        config, model=replace(config.model, **changes.get("model", {})), stage=changes.get("stage", config.stage)
    )
    with pytest.raises(UserError) as error:
        open_stage(changed.check())
    assert said in str(error.value)


def test_what_is_trained(config: RunConfig) -> None:
    model = Model(replace(config.model, layers=2, vocab_size=11, classes=2), config.precision)
    names = set(model.axes)
    assert trainable_names(LastBlocks(0), names) == {"classifier.kernel", "classifier.bias"}
    last = trainable_names(LastBlocks(1), names)
    assert last == {name for name in names if name.startswith(("blocks.1.", "final_norm.", "classifier."))}
    adapted = Model.of(replace(config, model=model.config, trainable=LoRA(rank=2, targets=("query",))))
    assert trainable_names(LoRA(), adapted.axes) == set(adapted.axes) - names | {"classifier.kernel", "classifier.bias"}


def test_a_language_models_run_becomes_a_classifier(config: RunConfig, tmp_path: Path) -> None:
    """Its parameters are there at step 0, but for the head, and the classifier is new."""
    text = tmp_path / "text.txt"
    text.write_text("0123456789x\n" * 200)
    still = OptimConfig(learning_rate=0.0, min_learning_rate=0.0, warmup_steps=0, weight_decay=0.0)
    short = TrainConfig(steps=1, tokens_per_step=4 * WINDOW, evaluate="none")
    untied = replace(config.model, tied_head=False)
    before = replace(config, model=untied, data=DataConfig(str(text)), stage=None, optim=still, train=short)
    train(before, tmp_path / "before")
    after = replace(config, model=before.model, init_from=str(tmp_path / "before"), optim=still, train=short)
    _, _, first = open_training(after)
    assert first is not None
    given, found = restore_params(tmp_path / "before" / "checkpoints")[0], first()
    assert given.keys() - found.keys() == {"head.kernel"}
    assert found.keys() - given.keys() == {"classifier.kernel", "classifier.bias"}
    for name in given.keys() & found.keys():
        assert np.asarray(given[name]).tobytes() == np.asarray(found[name]).tobytes(), name
