"""Documents that are kept apart, from a corpus of many documents to a trained model: no part needs to be told."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from jaxdec.config.documents import Joined, Separate
from jaxdec.config.run import DataConfig, RunConfig
from jaxdec.config.tokenizers import BPE
from jaxdec.config.yaml import load_config
from jaxdec.data.tokenizers.registry import CharTokenizer
from jaxdec.errors import UserError
from jaxdec.generation.generate import generate_text
from jaxdec.generation.sampling import Sampling
from jaxdec.runs.loading import load_run
from jaxdec.stages.run import evaluate, open_stage, resume, train, with_start
from jaxdec.weights.huggingface.registry import config_of, hf_config_of
from tests import tiny

TEXTS = [f"{number} and {number} makes {2 * number}." for number in range(60)]


@pytest.fixture
def config(tmp_path: Path) -> RunConfig:
    """A run on sixty short documents, of which a window holds several."""
    corpus = tmp_path / "sums.jsonl"
    corpus.write_text("".join(json.dumps({"text": text}) + "\n" for text in TEXTS))
    model = replace(tiny.MODEL, vocab_size=None, context=32, documents=Separate())
    config = tiny.run_config(model=model, data=DataConfig(str(corpus), BPE(280)))
    return replace(config, train=replace(config.train, steps=4, tokens_per_step=128, evaluate="none"))


def test_a_run_on_many_documents_trains_resumes_scores_and_writes(config: RunConfig, tmp_path: Path) -> None:
    run_dir = tmp_path / "run"
    train(config, run_dir)
    loaded = load_run(run_dir)
    start = loaded.tokenizer.end_of_text
    assert loaded.config.model.documents == Separate(start) == load_config(run_dir / "config.yaml").model.documents
    _, stage = open_stage(loaded.config, tokenizer=loaded.tokenizer)
    assert (stage.batch(0, 0)["tokens"] == start).sum() >= 4  # borders, which the model finds by itself
    longer = load_config(run_dir / "config.yaml")
    assert resume(run_dir, replace(longer, train=replace(longer.train, steps=6)))["steps"] == 6
    apart = evaluate(run_dir)["sweep_loss"]
    params = load_run(run_dir)
    joined = replace(params.config, model=replace(params.config.model, documents=Joined()))
    _, other = open_stage(joined, tokenizer=params.tokenizer)
    together = dict(pair for evaluator in other.final_evaluators for pair in evaluator(params.params))["sweep_loss"]
    assert apart != together and abs(apart - together) < 0.5  # the mask is on in evaluation too
    texts = generate_text(run_dir, ["", "10 and"], max_tokens=40, sampling=Sampling(temperature=0.9), seed=0)
    assert all(texts)


def test_the_start_is_the_tokenizer_s_unless_it_is_given(config: RunConfig) -> None:
    gpt2_like = CharTokenizer.from_settings(config.data.tokenizer, "some text")
    assert gpt2_like is not None
    with pytest.raises(UserError, match=r"tokenizer \(char\) has no <\|endoftext\|>.*or give the id"):
        with_start(config, gpt2_like)
    given = replace(config, model=replace(tiny.MODEL, documents=Separate(3)))
    assert with_start(given, gpt2_like) is given
    joined = tiny.run_config()
    assert with_start(joined, gpt2_like) is joined


def test_other_programs_get_the_model_as_it_is() -> None:
    """For one document both are the same function, so that no setting of theirs is missing."""
    separate = replace(tiny.MODEL, documents=Separate(3))
    assert hf_config_of(separate, "gpt2") == hf_config_of(tiny.MODEL, "gpt2")
    assert config_of(hf_config_of(separate, "gpt2")).documents == Joined()
