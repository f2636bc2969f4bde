"""Each suite against its formula, on a tiny model and on files written here."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from jaxdec.config.run import DataConfig
from jaxdec.data.batches import sweep
from jaxdec.data.corpora.hellaswag import HellaSwag
from jaxdec.data.shards import prepare
from jaxdec.errors import UserError
from jaxdec.evaluation.suites.continuations import Continuations, Request, encode_pair
from jaxdec.evaluation.suites.hellaswag import eleuther
from jaxdec.evaluation.suites.multiple_choice import Scored, accuracies
from jaxdec.evaluation.suites.options import SuiteOptions
from jaxdec.evaluation.suites.registry import SUITES, require_suites, run_suites
from jaxdec.evaluation.text import make_window_losses, mean_loss
from jaxdec.runs.loading import LoadedRun
from tests.encoder_decoders import MODELS
from tests.evaluation.suites.conftest import TEXT


def test_loss_in_every_unit(char_run: LoadedRun) -> None:
    found = run_suites(char_run, ["loss"], SuiteOptions())["loss"]
    dataset = prepare(char_run.config.data, tokenizer=char_run.tokenizer)
    mean, error = mean_loss(make_window_losses(char_run.model), char_run.params, sweep(dataset.validation, 8, 8, 4))
    assert (found["loss"], found["loss_standard_error"]) == pytest.approx((mean, error), rel=1e-5)
    predicted = TEXT[int(len(TEXT) * 0.9) :][1:]
    assert (found["tokens"], found["characters"]) == (len(predicted), len(predicted))
    assert found["bytes"] == len(predicted.encode()) > len(predicted)
    assert found["perplexity"] == pytest.approx(math.exp(mean), rel=1e-5)
    assert found["bits_per_character"] == pytest.approx(mean / math.log(2), rel=1e-5)
    assert found["bits_per_byte"] == pytest.approx(
        mean * len(predicted) / len(predicted.encode()) / math.log(2), rel=1e-5
    )
    whole = run_suites(char_run, ["loss"], SuiteOptions(split="all"))["loss"]
    assert whole["characters"] == len(TEXT) - 1 and whole["tokens"] == len(TEXT) - 1


def test_bytes_are_those_of_the_text_where_the_tokenizer_loses_some(char_run: LoadedRun, tmp_path: Path) -> None:
    """Documents of records: what stands between two is predicted, and has no text."""
    from jaxdec.data.tokenizers.registry import WordTokenizer

    records = tmp_path / "records.jsonl"
    documents = [f"so   that {number}" for number in range(20)]
    records.write_text("".join(json.dumps({"text": text}) + "\n" for text in documents), encoding="utf-8")
    tokenizer = WordTokenizer(["so", "that"])
    config = replace(
        char_run.config,
        data=DataConfig(str(records)),
        model=replace(char_run.config.model, vocab_size=max(tokenizer.vocab_size, 11)),
    )
    run = LoadedRun(config, char_run.model, char_run.params, tokenizer, 0)
    found = run_suites(run, ["loss"], SuiteOptions(split="all"))["loss"]
    first = tokenizer.decode(prepare(config.data, tokenizer=tokenizer).train[:1])
    assert found["bytes"] == sum(map(len, documents)) - len(first)
    assert found["tokens"] != found["bytes"]


def test_positions_are_the_mean_over_windows(char_run: LoadedRun, tmp_path: Path) -> None:
    plot = tmp_path / "positions.png"
    found = run_suites(char_run, ["positions"], SuiteOptions(plot=plot))["positions"]
    ids = char_run.tokenizer.encode(TEXT[int(len(TEXT) * 0.9) :])
    windows = (len(ids) - 1) // 8
    assert found["windows"] == windows and list(found["loss_at"]) == ["1", "2", "3-4", "5-8"]
    scorer = Continuations(char_run.model, char_run.params)
    rows = [ids[8 * n : 8 * n + 9].tolist() for n in range(windows)]
    scored = [scorer.score([Request(row[:1], row[1 : 1 + t]) for row in rows]) for t in (1, 2, 4, 8)]
    upto = np.array([[each.logprob for each in same] for same in scored])
    sums = -np.diff(upto, axis=0, prepend=0.0) / np.array([[1.0], [1.0], [2.0], [4.0]])
    assert list(found["loss_at"].values()) == pytest.approx(sums.mean(axis=1).tolist(), rel=1e-4)
    errors = sums.std(axis=1, ddof=1) / math.sqrt(windows)
    assert list(found["standard_error_at"].values()) == pytest.approx(errors.tolist(), rel=1e-3)
    assert len(found["losses"]) == 8 and plot.read_bytes().startswith(b"\x89PNG")
    assert run_suites(char_run, ["positions"], SuiteOptions(limit=3))["positions"]["windows"] == 3


def test_choices_and_last_words(char_run: LoadedRun, tmp_path: Path) -> None:
    questions = [
        {"context": "so that.", "choices": ["12", "élan and 7"], "label": 1},
        {"question": "7 élan", "choices": ["and", "so that", "at"], "answer": "so that"},
        {"ctx": "12", "endings": ["so", "and"], "label": "0"},
    ]
    file = tmp_path / "questions.jsonl"
    file.write_text("".join(json.dumps(question) + "\n" for question in questions), encoding="utf-8")
    options = SuiteOptions(file=file, examples=True)
    found = run_suites(char_run, ["choices"], options)["choices"]
    scorer, labels, hits = Continuations(char_run.model, char_run.params), [1, 1, 0], {"tokens": 0, "characters": 0}
    for question, label, example in zip(questions, labels, found["examples"], strict=True):
        context, choices = question.get("context") or question.get("question") or question["ctx"], _choices(question)
        scores = scorer.score([encode_pair(char_run.tokenizer, str(context), f" {choice}") for choice in choices])
        assert example["logprobs"] == pytest.approx([score.logprob for score in scores], rel=1e-5)
        for norm, extra in (("tokens", 1), ("characters", 0)):  # of characters: the delimiter is a token
            values = [score.logprob / (len(text) + extra) for score, text in zip(scores, choices, strict=True)]
            hits[norm] += int(np.argmax(values)) == label
    assert found["acc_norm_by_tokens"] == pytest.approx(hits["tokens"] / 3)
    assert found["acc_norm_by_characters"] == pytest.approx(hits["characters"] / 3)
    assert found["chance"] == pytest.approx((1 / 2 + 1 / 3 + 1 / 2) / 3)
    passages = tmp_path / "passages.txt"
    passages.write_text("7 élan and\n\n 12 so that \n", encoding="utf-8")
    words = run_suites(char_run, ["last_word"], SuiteOptions(file=passages, examples=True))["last_word"]
    expected = scorer.score(
        [encode_pair(char_run.tokenizer, *pair) for pair in (("7 élan", " and"), ("12 so", " that"))]
    )
    assert [each["logprob"] for each in words["examples"]] == pytest.approx(
        [each.logprob for each in expected], rel=1e-5
    )
    mean = -np.mean([each.logprob for each in expected])
    assert words["perplexity"] == pytest.approx(math.exp(mean), rel=1e-5)
    assert words["acc"] == np.mean([each.greedy for each in expected])


def _choices(question: dict[str, Any]) -> list[str]:
    return question.get("choices") or question["endings"]


def test_accuracies_by_hand() -> None:
    """The longest ending has the least probability and the greatest per token; equal ones: the first is taken."""
    questions = [
        Scored((-4.0, -6.0), (2, 6), (8, 10), 1),
        Scored((-5.0, -5.0), (1, 1), (5, 5), 0),
        Scored((-1.0, -2.0), (1, 4), (4, 4), 1),
    ]
    found = accuracies(questions, "tokens", "characters")
    assert found["acc"] == pytest.approx(1 / 3)
    assert found["acc_norm_by_tokens"] == pytest.approx(1.0)
    assert found["acc_norm_by_characters"] == pytest.approx(1 / 3)
    assert found["acc_standard_error"] == pytest.approx(math.sqrt(1 / 3 * 2 / 3 / 2))
    assert accuracies(questions[:1])["acc_standard_error"] is None


def test_hellaswag_as_eleuther_cleans_it() -> None:
    question = HellaSwag(
        "unused",
        ("[step] Stir.  Well.", "Eat [title] now"),
        0,
        "Cooking",
        "[header] How [title] Take eggs.",
        "the Cook",
    )
    context, endings = eleuther(question)
    assert context == "Cooking:  How. Take eggs. The cook".replace("  ", " ").replace(":  ", ": ")
    assert list(endings) == [" Stir. Well.", "Eat.  now".replace("  ", " ")]


def test_options_and_models_that_fit_no_suite(char_run: LoadedRun) -> None:
    config = char_run.config
    cases = {
        "did you mean 'hellaswag'": (config, ["helaswag"], SuiteOptions()),
        "needs --file": (config, ["choices"], SuiteOptions()),
        "--limit means nothing to loss": (config, ["loss"], SuiteOptions(limit=3)),
        "give --data.corpus": (replace(config, data=DataConfig("none")), ["loss"], SuiteOptions()),
        "encoder-decoder is scored on pairs": (
            replace(config, model=next(iter(MODELS.values()))),
            ["loss"],
            SuiteOptions(),
        ),
        "classifier predicts no tokens": (
            replace(config, model=replace(config.model, classes=2)),
            ["loss"],
            SuiteOptions(),
        ),
    }
    for message, (given, names, options) in cases.items():
        with pytest.raises(UserError, match=message):
            require_suites(given, names, options)
    with pytest.raises(UserError, match="whole number from 1"):
        SuiteOptions(limit=0)
    read = {option for suite in SUITES.values() for option in suite.options}
    assert read == set(SuiteOptions.__dataclass_fields__), "an option that no suite reads has no effect"
    assert all(set(suite.required) <= set(suite.options) for suite in SUITES.values())
