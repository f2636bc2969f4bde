"""The benchmark of `prepare` measures both sides on the same text, and says what it found."""

from __future__ import annotations

from pathlib import Path

import pytest

from jaxdec.bench import prepare
from jaxdec.errors import TrainingError
from tests.data.tokenizers.test_bytes import needs_gpt2


@needs_gpt2
def test_both_sides_are_measured():
    figures = prepare.bench_prepare(megabytes=1, rounds=1)
    assert 1e6 <= figures["bytes"] < 1e7
    assert figures["bytes"] / 10 < figures["tokens"] < figures["bytes"]
    assert figures["tiktoken_seconds"] > 0 and figures["prepare_seconds"] > 0
    assert figures["ratio"] == pytest.approx(figures["tiktoken_seconds"] / figures["prepare_seconds"], rel=0.1)
    assert 30 < figures["prepare_peak_megabytes"] < 1000


def test_a_prepare_that_fails_is_named(tmp_path: Path):
    with pytest.raises(TrainingError, match=r"ended with exit code 2: jaxdec: .*no\.txt"):
        prepare.prepare_seconds(tmp_path / "no.txt", tmp_path / "cache")
