"""`jaxdec convert`, weights where other commands take a run, and everything that can be wrong with them."""

from __future__ import annotations

import json
import resource
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import jaxdec
from jaxdec.checkpoints.checkpoints import restore_params
from jaxdec.cli.main import main
from jaxdec.weights.formats.safetensors import open_safetensors, write_safetensors
from tests.cli.conftest import TINY

Refused = Any


def last(capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    return json.loads(capsys.readouterr().out.splitlines()[-1])


@pytest.fixture(scope="module")
def folder(trained: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny run as a Hugging Face folder, in several files."""
    place = tmp_path_factory.mktemp("weights") / "folder"
    assert main(["convert", str(trained), str(place), "--to", "huggingface", "--max-shard", "4KB"]) == 0
    return place


@pytest.fixture
def copy(folder: Path, tmp_path: Path) -> Path:
    """One to spoil."""
    return Path(shutil.copytree(folder, tmp_path / "copy"))


def test_there_and_back_is_the_same(
    folder: Path, trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert len(list(folder.glob("model-*.safetensors"))) > 2
    assert main(["convert", str(folder), str(tmp_path / "run"), "--json"]) == 0
    assert last(capsys)["step"] == 0
    expected, meta = restore_params(trained / "checkpoints")
    params, ours = restore_params(tmp_path / "run" / "checkpoints")
    assert all(np.array_equal(params[name], param) for name, param in expected.items())
    added = params.keys() - expected.keys()  # the run has no biases, GPT-2 has
    assert all(name.endswith(".bias") and not np.any(params[name]) for name in added) and len(added) == 9
    assert ours["tokenizer"] == meta["tokenizer"] and ours["weights_of"] == str(folder)
    card = (folder / "README.md").read_text()
    assert "GPT2LMHeadModel" in card and "counting.txt" in card and "validation loss, complete sweep" in card
    generation = [["generate", str(place), "--greedy", "--prompt", "10 and ", "--max-tokens", "12", "--json"]
                  for place in (trained, folder, tmp_path / "run")]  # fmt: skip
    texts = []
    for words in generation:
        assert main(words) == 0
        texts.append(last(capsys)["texts"])
    assert texts[0] == texts[1] == texts[2]
    assert jaxdec.load(folder).generate("10 and ", max_tokens=12, temperature=0) == texts[0][0]["continuation"]


def test_weights_are_scored_and_trained_on(
    folder: Path, trained: Path, corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = ["--data.corpus", str(corpus), "--data.sweep-stride", "8"]
    losses = []
    for words in (["evaluate", str(trained)], ["evaluate", str(folder), *settings]):
        assert main([*words, "--json"]) == 0
        losses.append(last(capsys)["sweep_loss"])
    assert losses[0] == pytest.approx(losses[1], rel=1e-6)
    still = ["--optim.learning-rate", "0", "--optim.min-learning-rate", "0", "--optim.warmup-steps", "0"]
    start = ["train", "char-gpt", "--init-from", str(folder), "--train.steps", "2", "--train.evaluate", "none"]
    assert main([*start, *settings, *still, "--train.tokens-per-step", "64", "--out", str(tmp_path / "run")]) == 0
    expected, params = (restore_params(place / "checkpoints")[0] for place in (trained, tmp_path / "run"))
    assert all(np.array_equal(params[name], param) for name, param in expected.items())
    assert (tmp_path / "run" / "summary.json").is_file()


def test_other_sizes(trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["--vocab-size", "40", "--context", "20", "--dtype", "bfloat16"]
    assert main(["convert", str(trained), str(tmp_path / "grown"), *words]) == 0
    params, meta = restore_params(tmp_path / "grown" / "checkpoints")
    expected, _ = restore_params(trained / "checkpoints")
    assert params["token_embed.embedding"].shape == (40, 16) and params["position_embed.embedding"].shape == (20, 16)
    assert params["token_embed.embedding"].dtype.name == "bfloat16" and meta["config"]["model"]["context"] == 20
    known = np.asarray(expected["token_embed.embedding"], np.float64)
    new = np.asarray(params["token_embed.embedding"], np.float64)[len(known) :]
    np.testing.assert_allclose(new, np.broadcast_to(known.mean(0), new.shape), atol=0.01)
    assert len(np.unique(new, axis=0)) == 1
    assert main(["convert", str(tmp_path / "grown"), str(tmp_path / "cut"), "--vocab-size", str(len(known))]) == 0
    assert restore_params(tmp_path / "cut" / "checkpoints")[0]["token_embed.embedding"].shape == known.shape
    assert main(["generate", str(tmp_path / "cut"), "--max-tokens", "2"]) == 0


def change_json(name: str, **values: Any) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        found = json.loads((folder / name).read_text())
        (folder / name).write_text(json.dumps({**found, **values}))

    return change


def write(name: str, content: bytes) -> Callable[[Path], None]:
    return lambda folder: (folder / name).write_bytes(content) and None


def remove(pattern: str) -> Callable[[Path], None]:
    return lambda folder: [path.unlink() for path in sorted(folder.glob(pattern))[:1]] and None


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (write("config.json", b"{"), "config.json is damaged: it is no JSON"),
        (change_json("config.json", model_type="mamba"), "model_type 'mamba' is not supported"),
        (change_json("config.json", scale_attn_by_inverse_layer_idx=True), "scale_attn_by_inverse_layer_idx = True"),
        (change_json("config.json", n_embd="wide"), "n_embd = 'wide': a whole number is needed"),
        (remove("model-*.safetensors"), "lacks model-00001-of-"),
        (remove("model.safetensors.index.json"), "has no weights: model.safetensors or pytorch_model.bin"),
        (change_json("model.safetensors.index.json", weight_map={"a": "../../x"}), "is no file of this folder"),
        (change_json("model.safetensors.index.json", weight_map=3), "has no weight_map"),
        (write("tokenizer.json", b"words"), "tokenizer.json cannot be read by Hugging Face's tokenizers"),
        (remove("tokenizer.json"), "has no tokenizer: make a run of it with one"),
        (change_json("config.json", vocab_size=5), "the tokenizer of"),
    ],
)
def test_a_folder_that_cannot_be_read(
    spoil: Callable[[Path], None], said: str, copy: Path, refused: Refused, tmp_path: Path
) -> None:
    spoil(copy)
    line = refused("convert", copy, tmp_path / "run")
    assert said in line, line
    assert {path.name for path in tmp_path.iterdir()} == {"copy"}
    assert said in refused("generate", copy)


def test_names_that_do_not_fit_are_all_told(copy: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A model of two layers where the file has one, and a tensor of another width."""
    change_json("config.json", n_layer=2)(copy)
    spoilt = next(path for path in copy.glob("model-*") if "transformer.wpe.weight" in open_safetensors(path).tensors)
    tensors: dict[str, Any] = dict(open_safetensors(spoilt).tensors)
    narrow = np.zeros((16, 12), np.float32)

    class Narrow:
        shape, dtype = narrow.shape, narrow.dtype

        def read(self) -> np.ndarray:
            return narrow

    write_safetensors(spoilt, {**tensors, "transformer.wpe.weight": Narrow(), "extra": Narrow()})
    index = json.loads((copy / "model.safetensors.index.json").read_text())
    index["weight_map"]["extra"] = spoilt.name
    (copy / "model.safetensors.index.json").write_text(json.dumps(index))
    assert main(["convert", str(copy), str(tmp_path / "run")]) == 2
    first, *names = capsys.readouterr().err.strip().splitlines()
    assert "does not fit its config (16 missing, 1 misshapen, 1 left over)" in first
    assert len(names) == 18 and sum("blocks.1." in name for name in names) == 16
    assert any("wpe.weight (16, 12)" in name for name in names) and "left over: extra (16, 12)" in names[-1]
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["nowhere", "x"], "nowhere is not a run directory, nor the weights of another program"),
        (["runs/none", "x"], "runs/none is not a run directory"),
        (["RUN"], "give what to read and what to write"),
        (["RUN", "RUN"], "is there already: choose another DST"),
        (["RUN", "x", "--to", "hugingface"], "did you mean 'huggingface'?"),
        (["RUN", "x", "--to", "huggingface", "--family", "lama"], "did you mean 'llama'?"),
        (["RUN", "x", "--to", "huggingface", "--family", "llama"], "llama has no model."),
        (["RUN", "x", "--family", "llama"], "here --to is run"),
        (["RUN", "x", "--vocab-size", "3"], "only the padding behind them can be cut"),
        (["RUN", "x", "--vocab-size", "0"], "give a whole number from 1"),
        (["RUN", "x", "--context", "-4"], "give a whole number from 1"),
        (["RUN", "x", "--dtype", "float16"], "a run has no parameters in float16"),
        (["RUN", "x", "--dtype", "int8"], "--dtype"),
        (["RUN", "x", "--max-shard", "many"], "give bytes, as 5GB or 200MB"),
        (["RUN", "x", "--tokenizer", "gpt2"], "leave --tokenizer out"),
        (["FOLDER", "x", "--tokenizer", "none.json"], "there is no such file"),
        (["FOLDER", "x", "--step", "3"], "Leave --step out"),
        (["RUN", "x", "--step", "3"], "there is no checkpoint 3"),
    ],
)
def test_what_cannot_be_asked_for(
    words: list[str], said: str, trained: Path, folder: Path, refused: Refused, tmp_path: Path, monkeypatch: Any
) -> None:
    monkeypatch.chdir(tmp_path)
    line = refused("convert", *({"RUN": trained, "FOLDER": folder}.get(word, word) for word in words))
    assert said in line, line
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("to", ["huggingface", "run"])
def test_a_full_disk_leaves_nothing(to: str, folder: Path, trained: Path, tmp_path: Path, refused: Refused) -> None:
    given = trained if to == "huggingface" else folder
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (3000, hard))
    try:
        line = refused("convert", given, tmp_path / "x", "--to", to)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert "File too large" in line, line
    assert not list(tmp_path.iterdir())


def test_a_run_that_has_no_layout_says_what_is_in_the_way(
    corpus: Path, tmp_path: Path, refused: Refused, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["--data.corpus", str(corpus), "--train.steps", "2", "--train.evaluate", "none"]
    run = tmp_path / "run"
    assert main(["train", "char-gpt", *TINY, *words, "--model.position", "none", "--out", str(run)]) == 0
    capsys.readouterr()
    line = refused("convert", run, tmp_path / "x", "--to", "huggingface")
    assert "no Hugging Face family has this model, for example: llama has no model.position = NoPosition()" in line


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--model.layers", "3"], "its model is another than the flags ask for (model.layers: 1 -> 3)"),
        (["--data.tokenizer", "bpe"], "(data.tokenizer.kind: char -> bpe"),
        (["--data.corpus", "modular"], "which the text that its tokenizer was trained on never has"),
    ],
)
def test_a_start_from_weights_that_cannot_be(
    words: list[str], said: str, folder: Path, corpus: Path, tmp_path: Path, refused: Refused
) -> None:
    start = ["train", "char-gpt", "--init-from", folder, "--train.tokens-per-step", "64", "--out", tmp_path / "x"]
    line = refused(*start, *([] if "--data.corpus" in words else ["--data.corpus", corpus]), *words)
    assert said in line, line
    assert not (tmp_path / "x").exists()


def test_weights_have_no_corpus_and_no_training(
    folder: Path, tmp_path: Path, refused: Refused, capsys: pytest.CaptureFixture[str]
) -> None:
    assert "has no corpus of its own: give --data.corpus" in refused("evaluate", folder)
    assert main(["convert", str(folder), str(tmp_path / "run")]) == 0
    capsys.readouterr()
    assert "has no corpus of its own" in refused("evaluate", tmp_path / "run")
    assert "holds weights alone, without a training to go on with" in refused("resume", tmp_path / "run")
