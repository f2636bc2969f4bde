"""A Hugging Face folder in, five steps of training, and out again: at every point the logits are those of transformers.

All is in true float64. A family of the registry is one tiny model; two of them are tried by the quick tests.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest

from jaxdec.config.run import DataConfig, MeshConfig, OptimConfig, Precision, RunConfig, TrainConfig
from jaxdec.data.tokenizers.char import CharTokenizer
from jaxdec.generation.generate import generate_text
from jaxdec.generation.sampling import Sampling
from jaxdec.models.functional import Model
from jaxdec.parity.adapters.float64 import everything_in_float64
from jaxdec.parity.assertion import assert_parity
from jaxdec.parity.spec import load_pair
from jaxdec.runs.converting import write_weights
from jaxdec.runs.loading import LoadedRun, load_run, open_source
from jaxdec.stages.run import train
from jaxdec.weights.folder.card import tokenizer_class
from jaxdec.weights.folder.tokenizer_json import tokenizer_files
from jaxdec.weights.huggingface.registry import FAMILIES

torch = pytest.importorskip("torch", reason="the extra torch")
transformers = pytest.importorskip("transformers", reason="the extra huggingface")

from jaxdec.parity.pairs.huggingface import hf_model, model_of_folder, tiny_config  # noqa: E402

LETTERS = "\n" + "".join(map(chr, range(32, 127)))  # 96 of the 97 tokens of the tiny models: one row is padding
TEXT = "".join(LETTERS[n] for n in np.random.default_rng(0).integers(0, 96, 3000))
QUICK = ("gpt2", "llama")


def families() -> list[Any]:
    names = {kind: next(iter(family.tiny)) for kind, family in FAMILIES.items()}
    return [
        pytest.param(kind, name, id=kind, marks=() if kind in QUICK else pytest.mark.long)
        for kind, name in names.items()
    ]


@pytest.mark.parametrize(("kind", "name"), families())
def test_in_trained_and_out(kind: str, name: str, tmp_path: Path) -> None:
    folder, run, back = tmp_path / "folder", tmp_path / "run", tmp_path / "back"
    with jax.enable_x64(True):
        with everything_in_float64():
            hf_model(tiny_config(name), "float64").save_pretrained(folder)
        for file, content in tokenizer_files(CharTokenizer.train(LETTERS), 64).items():
            (folder / file).write_text(content)
        source = load_run(folder)
        before = same_logits(source, folder, FAMILIES[kind].architecture)
        (tmp_path / "text.txt").write_text(TEXT)
        config = RunConfig(
            model=source.config.model,
            data=DataConfig(str(tmp_path / "text.txt"), window=12),
            init_from=str(folder),
            optim=OptimConfig(learning_rate=1e-2, warmup_steps=1),
            train=TrainConfig(steps=5, tokens_per_step=24, steps_per_dispatch=5, log_every=5, evaluate="none"),
            precision=Precision("float64", "float64"),
            mesh=MeshConfig(data=1),
        )
        train(config, run)
        write_weights(open_source(run), back, "huggingface", family=kind, max_shard=20_000, figures={})
        trained = load_run(run)
        after = same_logits(trained, back, FAMILIES[kind].architecture)
        assert np.abs(after - before).max() > 1e-3  # it has learned something
        assert rounding_ratio(trained, back) <= 4
        if kind in ("gpt2", "llama"):
            same_text(trained, back)
        if kind == "gpt2":
            as_pickle(back, tmp_path / "pickled")
            pickled = load_run(tmp_path / "pickled")
            assert all(np.array_equal(pickled.params[each], param) for each, param in load_run(back).params.items())
            assert_parity(load_pair(str(back)), weight_inits=["init"], stages=["weights", "logits"])


def as_pickle(folder: Path, place: Path) -> None:
    """The folder as transformers wrote it before there were safetensors."""
    shutil.copytree(folder, place, ignore=shutil.ignore_patterns("model*"))
    torch.save(model_of_folder(folder, "float64").state_dict(), place / "pytorch_model.bin")


def same_logits(run: LoadedRun, folder: Path, architecture: str) -> np.ndarray:
    """Our logits for a text, after they were compared with those of transformers."""
    ids = run.tokenizer.encode(TEXT[:24])
    tokenizer = getattr(transformers, tokenizer_class(architecture)).from_pretrained(str(folder))
    assert tokenizer(TEXT[:24])["input_ids"] == ids.tolist()
    ours = np.asarray(run.model.apply(run.params, ids[None]).logits_BTV)
    with torch.no_grad(), everything_in_float64():
        theirs = model_of_folder(folder, "float64")(torch.tensor(ids[None].astype(np.int64)), use_cache=False).logits
    assert ours.dtype == np.float64 and theirs.dtype == torch.float64
    assert np.linalg.norm(ours - theirs.numpy()) <= 1e-11 * np.linalg.norm(ours)
    return ours


def rounding_ratio(run: LoadedRun, folder: Path) -> float:
    """The error of our float32 logits over that of transformers, both against float64 with the same rounded weights."""
    ids = run.tokenizer.encode(TEXT[:24])[None]
    rounded = {name: np.asarray(param, np.float32) for name, param in run.params.items()}
    exact = run.model.apply({name: param.astype(np.float64) for name, param in rounded.items()}, ids).logits_BTV
    ours = Model(run.config.model, Precision("float32", "float32")).apply(rounded, ids).logits_BTV
    with torch.no_grad():
        theirs = model_of_folder(folder, "float32")(torch.tensor(ids.astype(np.int64)), use_cache=False).logits
    assert ours.dtype == np.float32 and theirs.dtype == torch.float32
    return float(np.linalg.norm(ours - exact) / np.linalg.norm(theirs.numpy() - exact))


def same_text(run: LoadedRun, folder: Path) -> None:
    """Greedy text of both."""
    tokenizer = transformers.AutoTokenizer.from_pretrained(str(folder))
    given = torch.tensor([tokenizer(TEXT[:8])["input_ids"]])
    with everything_in_float64():
        made = model_of_folder(folder, "float64").generate(
            given, attention_mask=torch.ones_like(given), max_new_tokens=12, do_sample=False, pad_token_id=0
        )
    sampling = Sampling(temperature=0.0)
    ours = generate_text(run, [TEXT[:8]], max_tokens=12, sampling=sampling, seed=0)[0]
    assert tokenizer.decode(made[0, given.shape[1] :]) == ours
