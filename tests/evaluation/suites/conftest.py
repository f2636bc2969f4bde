"""A tiny language model of characters with random parameters, as a loaded run on a text of its own."""

from __future__ import annotations

from dataclasses import replace

import pytest

from jaxdec.config.run import DataConfig
from jaxdec.data.tokenizers.registry import CharTokenizer
from jaxdec.models.functional import Model
from jaxdec.runs.loading import LoadedRun
from tests import tiny

TEXT = "".join(f"{number} élan and {number * 7}, so that.\n" for number in range(60))


@pytest.fixture(scope="session")
def char_run(tmp_path_factory: pytest.TempPathFactory) -> LoadedRun:
    """Width 16, context 8; its corpus has letters of two bytes."""
    corpus = tmp_path_factory.mktemp("corpus") / "text.txt"
    corpus.write_text(TEXT, encoding="utf-8")
    tokenizer = CharTokenizer.from_settings(None, [TEXT])
    assert tokenizer is not None
    config = tiny.run_config(data=DataConfig(str(corpus)))
    config = replace(config, model=replace(config.model, vocab_size=tokenizer.vocab_size))
    model = Model(config.model, config.precision)
    return LoadedRun(config, model, tiny.generic_params(model), tokenizer, 0)
