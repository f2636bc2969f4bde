"""Instruction finetuning from the command line: training that learns its entries by heart, responses, and chat."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

import jaxdec
from jaxdec.cli import chat as chat_command
from jaxdec.cli.main import main
from jaxdec.config.yaml import save_config
from jaxdec.recipes import load_recipe

ASKED = [("Say red.", "", "rouge"), ("Say blue.", "", "bleu"), ("Add.", "1 2", "it is 3"), ("Add.", "2 2", "it is 4")]
OTHERS = [("Say green.", "", "vert"), ("Say white.", "", "blanc")]
MODEL = (
    "--model.layers 1 --model.heads 2 --model.width 32 --model.context 64 --train.tokens-per-step 256 --mesh.data 1 "
    "--stage.test-fraction 0.17 --data.validation-fraction 0.17 --stage.split-seed None "
)
TRAINING = (
    "--data.tokenizer bpe --data.tokenizer.vocab-size 280 --stage.batching.multiple 64 --train.steps 100 "
    "--train.steps-per-dispatch 20 --optim.learning-rate 0.02 --optim.warmup-steps 5 --train.eval-every 50 "
    "--train.checkpoint-every 100"
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six entries, of which four are trained on; the template is a short one; and the run that was trained on them."""
    folder = tmp_path_factory.mktemp("instructed")
    records = [dict(zip(("instruction", "input", "output"), each, strict=True)) for each in (*ASKED, *OTHERS)]
    (folder / "own.json").write_text(json.dumps(records))
    (folder / "form.txt").write_text("{instruction} {input}={response}")
    words = ["--data.corpus", folder / "own.json", "--stage.template.kind", "own"]
    words += ["--stage.template.path", folder / "form.txt", "--out", folder / "run", *MODEL.split(), *TRAINING.split()]
    assert main(["train", "instruct", *map(str, words)]) == 0
    return folder


def result(capsys: pytest.CaptureFixture[str]) -> Any:
    return json.loads(capsys.readouterr().out.splitlines()[-1])


def test_a_run_ends_with_scored_responses(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    written = json.loads((folder / "run" / "responses.json").read_text())
    assert written["split"] == "test" and len(written["responses"]) == 1
    (record,) = written["responses"]
    assert (record["instruction"], record["reference"]) == ("Say green.", "vert")
    assert {"response", "ended", "exact_match", "rouge_l", "token_f1", "reference_perplexity"} <= record.keys()
    summary = json.loads((folder / "run" / "summary.json").read_text())
    assert summary["test_rouge_l"] == written["scores"]["rouge_l"] and summary["left_out_entries"] == 0

    assert main(["evaluate", str(folder / "run"), "--json"]) == 0
    again = result(capsys)
    assert again["test_loss"] == pytest.approx(summary["test_loss"])
    assert again["test_reference_perplexity"] == pytest.approx(summary["test_reference_perplexity"])


def test_what_was_learnt_by_heart_is_answered_and_ends(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = folder / "training.json"
    assert main(["respond", str(folder / "run"), "--split", "training", "--out", str(out), "--json"]) == 0
    found = result(capsys)
    assert found["exact_match"] == found["rouge_l"] == 1.0 and found["responses"] == 4
    assert found["reference_perplexity"] < 1.5
    records = json.loads(out.read_text())["responses"]
    assert all(record["ended"] for record in records)
    assert [record["response"] for record in records] == [answer for _, _, answer in ASKED]

    (folder / "more.jsonl").write_text('{"instruction": "Say blue.", "output": "bleu"}\n')
    assert main(["respond", str(folder / "run"), "--file", str(folder / "more.jsonl"), "--json"]) == 0
    assert result(capsys)["exact_match"] == 1.0
    assert main(["respond", str(folder / "run"), "--instruction", "Add.", "--input", "1 2", "--json"]) == 0
    assert result(capsys)["texts"][0]["response"] == "it is 3"
    assert jaxdec.load(folder / "run").respond("Say red.") == "rouge"
    prompt = ["generate", str(folder / "run"), "--prompt", "Say red. =", "--greedy", "--max-tokens", "40", "--json"]
    assert main(prompt) == 0
    assert result(capsys)["texts"][0]["continuation"] == "rouge", "it stops at the end token"


def test_a_judge_that_is_down_leaves_the_other_scores(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = folder / "judged.json"
    words = [
        "respond",
        str(folder / "run"),
        "--out",
        str(out),
        "--judge",
        "http://127.0.0.1:9/v1",
        "--judge-model",
        "m",
    ]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(time, "sleep", lambda seconds: None)
        assert main(words) == 2
    line = capsys.readouterr().err
    assert line.count("\n") == 1 and "the judge scored 0 of 1 responses" in line and str(out) in line
    written = json.loads(out.read_text())
    assert written["judged"] == 0 and written["responses"][0]["judge"] is None and "rouge_l" in written["scores"]


def test_chat_reads_a_pipe_and_forgets_whole_turns(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lines = ["Say red. ", "", *["Say blue. "] * 8]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "stdin", io.StringIO("\n".join(lines) + "\n"))
        assert main(["chat", str(folder / "run"), "--max-tokens", "12", "--json"]) == 0
    captured = capsys.readouterr()
    found = json.loads(captured.out.splitlines()[-1])
    assert [turn["message"] for turn in found["turns"]] == [line.strip() for line in lines if line]
    assert found["forgotten"] > 0 and "turns forgotten" in captured.err
    assert found["turns"][0]["response"] and found["turns"][0]["response"] in captured.err


def test_a_message_too_long_for_the_context_is_one_line(folder: Path, refused) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "stdin", io.StringIO(""))
        assert "max-tokens is 0" in refused("chat", folder / "run", "--max-tokens", "0")
        patch.setattr(chat_command, "next_message", lambda typed: "word " * 200)
        assert "shorten it" in refused("chat", folder / "run")
    assert "shorten it" in refused("respond", folder / "run", "--instruction", "word " * 200)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("respond", "give the run directory"),
        ("respond {run} --judge http://127.0.0.1:9/v1", "--judge-model"),
        ("respond {run} --judge-model m", "belongs to a --judge"),
        ("respond {run} --judge nowhere --judge-model m", "is no address"),
        ("respond {run} --limit 0", "--limit is 0"),
        ("respond {run} --input x", "belongs to an --instruction"),
        ("respond {run} --out nowhere/x.json", "its folder does not exist"),
        ("respond {run} --template alpca", "did you mean 'alpaca'"),
        ("respond {run} --file {run}/nothing.json", "there is neither a corpus of instructions nor a file"),
        ("chat nowhere", "nowhere is not a run directory"),
    ],
)
def test_a_slip_is_one_line(words: str, said: str, folder: Path, refused) -> None:
    assert said in refused(*(word.format(run=folder / "run") for word in words.split()))


def test_a_run_of_another_stage_is_told(tmp_path: Path, refused) -> None:
    save_config(load_recipe("char-gpt"), tmp_path / "config.yaml")
    for command in ("chat", "respond"):
        line = refused(command, tmp_path)
        assert "was not trained on instructions (its stage is pretrain)" in line and "--template alpaca" in line
    assert "has no split of instructions" in refused("respond", tmp_path, "--template", "alpaca")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("--data.tokenizer char", "has no <|endoftext|> to end a response with"),
        ("--stage.batching packed", "--model.documents separate"),
        ("--stage.template.kind own --stage.template.path {folder}/own.json", "no place for the instruction"),
        ("--data.validation-fraction 0.6 --stage.test-fraction 0.5", "too few"),
        ("--model.context 4 --train.tokens-per-step 16", "the shortest needs"),
        ("--data.corpus {folder}/broken.jsonl", "line 1 of {folder}/broken.jsonl has no field 'output'"),
        ("--stage.test-fraction 1", "stage.test_fraction is 1.0"),
    ],
)
def test_a_training_that_cannot_work_writes_nothing(
    words: str, said: str, folder: Path, tmp_path: Path, refused
) -> None:
    (folder / "broken.jsonl").write_text('{"instruction": "x"}\n')
    given = [*MODEL.split(), "--data.corpus", str(folder / "own.json"), *words.format(folder=folder).split()]
    merged = dict(zip(given[::2], given[1::2], strict=True))
    line = refused("train", "instruct", "--out", tmp_path / "run", *(word for pair in merged.items() for word in pair))
    assert said.format(folder=folder) in line
    assert not (tmp_path / "run").exists()


def test_ctrl_c_is_130_and_one_line(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def interrupted(typed: bool) -> str:
        raise KeyboardInterrupt

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(chat_command, "next_message", interrupted)
        assert main(["chat", str(folder / "run")]) == 130
    assert capsys.readouterr().err == "jaxdec: interrupted\n"


def test_ctrl_c_waits_for_the_piece_at_hand() -> None:
    before, passed = signal.getsignal(signal.SIGINT), False
    try:
        with chat_command.interrupted_later() as is_interrupted:
            signal.raise_signal(signal.SIGINT)
            passed = is_interrupted()
        pytest.fail("it was forgotten")
    except KeyboardInterrupt:
        assert passed and signal.getsignal(signal.SIGINT) is before


@pytest.mark.long
def test_ctrl_c_ends_a_chat_without_a_traceback(folder: Path) -> None:
    """A process of its own, interrupted while it waits for a message."""
    command = [sys.executable, "-c", "from jaxdec.cli.main import main; import sys; sys.exit(main())"]
    with subprocess.Popen(
        [*command, "chat", str(folder / "run"), "--max-tokens", "8"],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env={**os.environ},
    ) as process:  # fmt: skip
        assert process.stdin is not None and process.stdout is not None and process.stderr is not None
        process.stdin.write("Say red.\n")
        process.stdin.flush()
        assert process.stdout.readline().startswith("> Say red.")
        process.stdout.readline()
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=60) == 130
        errors = process.stderr.read()
    assert errors == "jaxdec: interrupted\n"
