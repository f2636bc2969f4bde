"""Adapters go to `peft` and come from it: the same logits as transformers with `peft`, in true float64.

A family of the registry is one tiny model; two of them are tried by the quick tests.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest

from jaxdec.config.trainable import LoRA
from jaxdec.data.tokenizers.char import CharTokenizer
from jaxdec.errors import UserError
from jaxdec.models.functional import Model
from jaxdec.parity.adapters.float64 import everything_in_float64
from jaxdec.runs.adapters import write_adapter_folder
from jaxdec.runs.loading import Source, load_run, open_source
from jaxdec.runs.start import merged
from jaxdec.weights.folder.tokenizer_json import tokenizer_files
from jaxdec.weights.formats.peft import open_adapter
from jaxdec.weights.huggingface.registry import FAMILIES
from jaxdec.weights.lora import is_adapter
from jaxdec.weights.stream import LazyArray

torch = pytest.importorskip("torch", reason="the extra torch")
transformers = pytest.importorskip("transformers", reason="the extra huggingface")
peft = pytest.importorskip("peft", reason="the extra dev")

from jaxdec.parity.pairs.huggingface import hf_model, tiny_config, with_plain_experts  # noqa: E402

# What this version of peft asks of this version of transformers.
pytestmark = pytest.mark.filterwarnings("ignore:.is_gradient_checkpointing. is deprecated:FutureWarning")
LETTERS = "\n" + "".join(map(chr, range(32, 127)))
TOKENS = np.random.default_rng(0).integers(0, 96, (2, 12), dtype=np.int32)
SAME = 1e-11
QUICK = ("gpt2", "llama")
# Experts are stacked in transformers, where peft's LoRA has no module for them; theirs are refused.
STACKED = (
    "mixtral", "qwen2_moe", "qwen3_moe", "gpt_oss", "olmoe", "flex_olmo", "granitemoe", "granitemoeshared",
)  # fmt: skip


@pytest.fixture(autouse=True, scope="module")
def _float64() -> Iterator[None]:
    with jax.enable_x64(True), everything_in_float64():
        yield


def families() -> list[Any]:
    return [pytest.param(kind, id=kind, marks=() if kind in QUICK else pytest.mark.long) for kind in FAMILIES]


def base_folder(kind: str, folder: Path) -> Path:
    hf_model(tiny_config(next(iter(FAMILIES[kind].tiny))), "float64").save_pretrained(folder)
    for file, content in tokenizer_files(CharTokenizer.train(LETTERS), 64).items():
        (folder / file).write_text(content)
    return folder


def adapted(folder: Path, lora: LoRA) -> Source:
    """A run that started from the folder, whose adapters have learned something."""
    source, draw = open_source(folder), np.random.default_rng(1)
    model = Model(source.config.model, source.config.precision, lora)
    arrays = dict(source.arrays)
    for name, shape in model.shapes().items():
        if is_adapter(name):
            value = draw.normal(size=shape.shape, scale=0.3)
            arrays[name] = LazyArray(value.shape, value.dtype, lambda value=value: value)
    config = replace(source.config, trainable=lora, init_from=str(folder))
    return replace(source, config=config, model=model, arrays=arrays)


def ours(model: Model, arrays: Any) -> np.ndarray:
    params = {name: jax.numpy.asarray(np.asarray(array)) for name, array in arrays.items()}
    return np.asarray(jax.jit(model.apply)(params, TOKENS).logits_BTV)


def theirs(folder: Path, adapter: Path | None = None) -> np.ndarray:
    """The logits of transformers, and of peft where there is an adapter."""
    model = transformers.AutoModelForCausalLM.from_pretrained(
        folder, dtype=torch.float64, attn_implementation="eager"
    ).eval()
    with_plain_experts(model)
    if adapter is not None:
        model = peft.PeftModel.from_pretrained(model, adapter, autocast_adapter_dtype=False).eval()
    with torch.no_grad():
        return model(torch.from_numpy(TOKENS).long()).logits.numpy()


def apart(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.linalg.norm(a - b) / np.linalg.norm(b))


@pytest.mark.parametrize("kind", families())
def test_our_adapters_are_read_by_peft(kind: str, tmp_path: Path) -> None:
    """And by us again; merged, they are the same function."""
    folder, place = base_folder(kind, tmp_path / "base"), tmp_path / "adapter"
    targets = ("attention.*",) if kind in STACKED else ("*",)
    source = adapted(folder, LoRA(rank=2, alpha=3.0, targets=targets))
    assert write_adapter_folder(source, place, None, None) == str(folder)
    unmerged = ours(source.model, source.arrays)
    assert apart(unmerged, ours(source.model.base, source.arrays)) > 1e-2, "the adapters change something"
    assert apart(unmerged, theirs(folder, place)) <= SAME
    back = load_run(place)
    for same in (merged(source).arrays, back.params):
        assert apart(ours(source.model.base, same), unmerged) <= SAME


@pytest.mark.parametrize(("kind", "targets"), [("gpt2", ["c_attn", "c_proj"]), ("llama", ["q_proj", "down_proj"])])
def test_adapters_of_peft_are_read(kind: str, targets: list[str], tmp_path: Path) -> None:
    """With another rank and alpha for one kind of module, scaled by the root of the rank."""
    folder, place = base_folder(kind, tmp_path / "base"), tmp_path / "adapter"
    model = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float64)
    settings = peft.LoraConfig(
        r=3, lora_alpha=4, target_modules=targets, use_rslora=True, init_lora_weights=False,
        fan_in_fan_out=kind == "gpt2", task_type="CAUSAL_LM",
        rank_pattern={targets[0]: 5}, alpha_pattern={targets[0]: 7},
    )  # fmt: skip
    peft.get_peft_model(model, settings, autocast_adapter_dtype=False).save_pretrained(place)
    run = load_run(place)
    logits = ours(run.model, run.params)
    assert apart(logits, theirs(folder, place)) <= SAME and apart(logits, theirs(folder)) > 1e-2
    moved = tmp_path / "moved"
    folder.rename(moved)
    with pytest.raises(UserError, match=r"which is not there: give its Hugging Face folder, 'jaxdec convert .* --base"):
        load_run(place)
    assert open_adapter(place, str(moved)).place == moved


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A base, and an adapter of it."""
    folder = tmp_path_factory.mktemp("peft")
    source = adapted(base_folder("gpt2", folder / "base"), LoRA(rank=2, targets=("query", "mlp.up")))
    write_adapter_folder(source, folder / "adapter", None, None)
    return folder


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"peft_type": "IA3"}, "peft_type is IA3, and only LORA is read"),
        ({"use_dora": True}, "use_dora is True, and only plain LoRA is read"),
        ({"init_lora_weights": "pissa"}, "init_lora_weights is 'pissa'"),
        ({"modules_to_save": ["lm_head"]}, r"modules_to_save is \['lm_head'\]"),
        ({"base_model_name_or_path": None}, "names no base model: give its Hugging Face folder"),
    ],
)
def test_what_is_no_plain_lora_is_refused(change: dict[str, Any], said: str, written: Path, tmp_path: Path) -> None:
    settings = json.loads((written / "adapter" / "adapter_config.json").read_text()) | change
    (tmp_path / "adapter_config.json").write_text(json.dumps(settings))
    (tmp_path / "adapter_model.safetensors").write_bytes(
        (written / "adapter" / "adapter_model.safetensors").read_bytes()
    )
    with pytest.raises(UserError, match=said):
        load_run(tmp_path)


def test_a_base_with_other_weights_is_refused(written: Path, tmp_path: Path) -> None:
    source = adapted(written / "base", LoRA(rank=2))
    spoilt = source.arrays["blocks.0.mlp.up.kernel"].then(lambda value: value * 2)
    source = replace(source, arrays={**source.arrays, "blocks.0.mlp.up.kernel": spoilt})
    with pytest.raises(UserError, match=r"has another blocks\.0\.mlp\.up\.kernel than the run started from"):
        write_adapter_folder(source, tmp_path / "adapter", None, None)
    assert not (tmp_path / "adapter").exists()
