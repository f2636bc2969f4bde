"""`docs/weights.md` is a walk that can be walked: its commands, in order, on a folder that stands for anybody's."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import jax
import numpy as np
import pytest

import jaxdec
from jaxdec.cli.main import main
from jaxdec.config.model import DecoderConfig
from jaxdec.config.parts import GatedMLP, RMSNorm
from jaxdec.config.positions import RoPE
from jaxdec.config.run import Precision
from jaxdec.data.corpora.registry import load_corpus
from jaxdec.data.tokenizers.bpe import BPETokenizer
from jaxdec.models.functional import Model
from jaxdec.weights.formats.huggingface import write_folder

PAGE = Path(__file__).parent.parent.parent / "docs" / "weights.md"
BLOCK = re.compile(r"```(sh|python)\n(.*?)```", re.DOTALL)
MODEL = DecoderConfig(
    layers=1,
    heads=2,
    width=16,
    context=64,
    vocab_size=300,
    position=RoPE(),
    norm=RMSNorm(),
    mlp=GatedMLP(32),
    bias=False,
)


def test_the_walk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(tmp_path)
    tokenizer = BPETokenizer.train(load_corpus("playlets").text[:20_000], 290)
    params = {name: np.asarray(value) for name, value in Model(MODEL, Precision()).init(jax.random.key(0)).items()}
    Path("model").mkdir()
    write_folder(Path("model"), params, MODEL, tokenizer)
    names: dict[str, object] = {}
    for kind, text in BLOCK.findall(PAGE.read_text(encoding="utf-8")):
        if kind == "sh":
            for line in text.strip().splitlines():
                assert main(shlex.split(line)[1:]) == 0, (line, capsys.readouterr().err)
        elif "transformers" in text:
            outside = text
        else:
            exec(compile(text, PAGE.name, "exec"), names)
    written = {path.name for path in Path("finetuned").iterdir()}
    assert written >= {"config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json", "README.md"}
    ours = jaxdec.load("runs/finetuned").generate("Anna", max_tokens=20, temperature=0)
    assert jaxdec.load("finetuned").generate("Anna", max_tokens=20, temperature=0) == ours
    assert jaxdec.load("runs/longer").config.model.context == 128
    assert jaxdec.load("runs/grown").config.model.vocab_size == 512
    pytest.importorskip("transformers", reason="the extra huggingface")
    pytest.importorskip("torch", reason="the extra torch")
    exec(compile(outside, PAGE.name, "exec"), names)
    assert names["text"] == "Anna" + ours
