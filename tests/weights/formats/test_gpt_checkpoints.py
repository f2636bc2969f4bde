"""nanoGPT's and minGPT's checkpoints, and torchref's, there and back and against models in torch."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from jaxdec.config.model import DecoderConfig  # noqa: E402
from jaxdec.config.parts import MLP, GatedMLP, MoE, RMSNorm  # noqa: E402
from jaxdec.config.positions import RoPE  # noqa: E402
from jaxdec.config.yaml import config_to_dict  # noqa: E402
from jaxdec.data.tokenizers.char import CharTokenizer  # noqa: E402
from jaxdec.errors import UserError  # noqa: E402
from jaxdec.weights.formats.registry import open_model, write_model  # noqa: E402
from tests.weights.formats.loading import (  # noqa: E402
    TOKENS,
    assert_equal,
    logits_of,
    params_of,
    random_params,
    there_and_back,
)
from tests.weights.formats.torch_gpts import GPT  # noqa: E402
from torchref.models.decoder import Decoder  # noqa: E402

SIZE = {"n_layer": 2, "n_head": 2, "n_embd": 16, "block_size": 8, "vocab_size": 11}
NANO = DecoderConfig(layers=2, heads=2, width=16, context=8, vocab_size=11, mlp=MLP(4, "gelu"))
MINI = replace(NANO, mlp=MLP(4, "gelu_tanh"), tied_head=False)


def gpt(**settings: Any) -> GPT:
    return GPT(vocab_size=11, context=8, layers=2, heads=2, width=16, **settings)


def assert_same_logits(path: Path, model: Any) -> None:
    model.double().eval()
    with torch.no_grad():
        theirs = model(torch.as_tensor(TOKENS)).numpy()
    ours = logits_of(open_model(path))
    assert np.abs(ours - theirs).max() <= 1e-11 and np.ptp(theirs) > 1


def save_nano(path: Path, model: GPT, prefix: str = "", **arguments: Any) -> None:
    state = {prefix + name: tensor for name, tensor in model.state_dict().items()}
    content = {"model": state, "model_args": {**SIZE, **arguments}, "iter_num": 3, "best_val_loss": torch.tensor(1.5)}
    torch.save({**content, "config": {"dataset": "openwebtext", "compile": True}, "optimizer": {"state": {}}}, path)


@pytest.mark.parametrize(
    ("settings", "arguments", "prefix"),
    [
        ({"bias": True}, {"bias": True, "dropout": 0.1}, "_orig_mod."),
        ({"bias": False, "mask": True}, {"bias": False}, ""),
        ({"gelu": "tanh"}, {}, ""),  # before `bias` was a setting
        ({"tied": False}, {"bias": True}, ""),
    ],
    ids=["compiled", "without biases", "early", "untied"],
)
def test_nanogpt_has_the_same_logits(tmp_path: Path, settings: Any, arguments: Any, prefix: str) -> None:
    path, model = tmp_path / "ckpt.pt", gpt(**settings)
    save_nano(path, model, prefix, **arguments)
    assert open_model(tmp_path).format == "nanogpt"
    assert_same_logits(path, model)


def test_nanogpt_padded_vocabulary_has_gpt2s_tokenizer(tmp_path: Path) -> None:
    config = replace(NANO, layers=1, heads=1, width=4, vocab_size=50304)
    model = there_and_back("nanogpt", tmp_path / "a.pt", config)
    assert model.config.vocab_size == 50304
    assert model.tokenizer is not None and model.tokenizer.vocab_size == 50257


def test_nanogpt_characters(tmp_path: Path) -> None:
    letters = "\n abcdehlrw"
    itos = dict(enumerate(letters))
    save_nano(tmp_path / "ckpt.pt", gpt(), bias=True)
    harmful = b"cbuiltins\nopen\n(V" + str(tmp_path / "made").encode() + b"\nVw\ntR."
    (tmp_path / "meta.pkl").write_bytes(harmful)
    with pytest.raises(
        UserError, match=r"meta\.pkl is a pickle, which can run any code .* as JSON, made in that folder"
    ):
        open_model(tmp_path)
    assert not (tmp_path / "made").exists()
    meta = tmp_path / "meta.json"
    for content in (itos, {"itos": itos}, list(letters)):
        meta.write_text(json.dumps(content))
        tokenizer = open_model(tmp_path).tokenizer
        assert tokenizer is not None and tokenizer.encode("ad b").tolist() == [
            letters.index(letter) for letter in "ad b"
        ]
    for content, expected in (
        ({"stoi": 1}, "is no vocabulary of characters"),
        ({"itos": {0: "b", 1: "a"}}, "is no vocabulary of characters"),
        ("abc", "has 3 characters, and the model's vocabulary 11"),
        ({"itos": {0: 1}}, "is no vocabulary of characters"),
    ):
        meta.write_text(json.dumps(content))
        with pytest.raises(UserError, match=expected):
            open_model(tmp_path)


@pytest.mark.parametrize("bias", [True, False])
def test_nanogpt_reads_what_is_written(tmp_path: Path, bias: bool) -> None:
    config = replace(NANO, bias=bias)
    there_and_back("nanogpt", tmp_path / "run", config)
    content = torch.load(tmp_path / "run" / "ckpt.pt", weights_only=True, mmap=True)
    assert content["model_args"] == {**SIZE, "bias": bias, "dropout": 0.0}
    model = gpt(bias=bias)
    model.load_state_dict(content["model"])
    assert_same_logits(tmp_path / "run", model)


def test_mingpt_has_the_same_logits_and_loads_what_is_written(tmp_path: Path) -> None:
    model = gpt(gelu="tanh", tied=False, mask=True)
    path = tmp_path / "model.pt"
    torch.save(model.state_dict(), path)
    path.with_suffix(".json").write_text('{"n_head": 2}')
    assert open_model(path).format == "mingpt"
    assert_same_logits(path, model)

    write_model("mingpt", tmp_path / "written", params_of(open_model(path)), MINI)
    back = gpt(gelu="tanh", tied=False, mask=True)
    back.load_state_dict(torch.load(tmp_path / "written" / "model.pt", weights_only=True))
    for name, tensor in model.float().state_dict().items():
        assert torch.equal(back.state_dict()[name], tensor), name
    there_and_back("mingpt", tmp_path / "again", MINI)


@pytest.mark.parametrize(
    ("name", "content", "heads"),
    [
        ("config.json", {"model": {"model_type": None, "n_head": 4}, "system": {"seed": 1}}, 4),
        ("config.json", {"model": {"model_type": "gpt-micro", "n_head": None}}, 4),
        ("model.json", {"n_head": 8}, 8),
    ],
)
def test_mingpt_asks_for_its_heads(tmp_path: Path, name: str, content: Any, heads: int) -> None:
    path = tmp_path / "model.pt"
    torch.save(gpt(tied=False, mask=True).state_dict(), path)
    with pytest.raises(UserError, match=r'write a line such as \{"n_head": 6\} to .*model\.json'):
        open_model(path)
    (tmp_path / name).write_text(json.dumps(content))
    assert open_model(path).config.heads == heads
    (tmp_path / name).write_text('{"n_head": "two"}')
    with pytest.raises(UserError, match=r"n_head is 'two', which is no whole number"):
        open_model(path)


MODERN = DecoderConfig(
    layers=2, heads=4, width=16, context=8, vocab_size=11, kv_heads=2, position=RoPE(), norm=RMSNorm(), bias=False,
    mlp=(GatedMLP(24), MoE(2, expert=GatedMLP(8), shared=MLP(2))), tied_head=False, qk_norm=RMSNorm(),
)  # fmt: skip


@pytest.mark.parametrize("suffix", ["safetensors", "pt"])
def test_torchref_there_and_back_and_into_its_model(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"out.{suffix}"
    model = there_and_back("torchref", path, MODERN)
    assert model.config == MODERN
    twin = Decoder(MODERN, compute_dtype=torch.float64)
    if suffix == "pt":
        state = torch.load(path, weights_only=True)["model"]
    else:
        state = pytest.importorskip("safetensors.torch").load_file(path)
    twin.load_state_dict(state)
    twin.double().eval()
    with torch.no_grad():
        theirs = twin(torch.as_tensor(TOKENS)).logits_BTV.numpy()
    assert np.abs(logits_of(model) - theirs).max() <= 1e-11


def test_torchref_bare_state_dict_needs_its_config(tmp_path: Path) -> None:
    path = tmp_path / "model.pt"
    torch.save(Decoder(NANO, compute_dtype=torch.float32).state_dict(), path)
    with pytest.raises(UserError, match=r"without its config: write that as JSON to .*model\.json"):
        open_model(path)
    values = config_to_dict(NANO)
    path.with_suffix(".json").write_text(json.dumps(values))
    model = open_model(tmp_path)
    assert model.config == NANO and len(params_of(model)) == len(random_params(NANO))
    for wrong, expected in (("[", "is no JSON"), ('{"layers": 0}', "missing"), ('{"widht": 3}', "unknown key")):
        path.with_suffix(".json").write_text(wrong)
        with pytest.raises(UserError, match=expected) as caught:
            open_model(path)
        assert "model.json" in str(caught.value)


def test_a_tokenizer_goes_with_the_weights(tmp_path: Path) -> None:
    tokenizer = CharTokenizer.from_settings(None, "hello world")
    config = replace(NANO, vocab_size=tokenizer.vocab_size)
    write_model("nanogpt", tmp_path / "run", random_params(config), config, tokenizer)
    found = open_model(tmp_path / "run").tokenizer
    assert found is not None and found.hash == tokenizer.hash
    other = CharTokenizer.from_settings(None, "something else")
    with pytest.raises(UserError, match="is another tokenizer"):
        write_model("torchref", tmp_path / "run" / "b.pt", random_params(config), config, other)
    small = replace(NANO, vocab_size=3)
    write_model("nanogpt", tmp_path / "run" / "small.pt", random_params(small), small)
    with pytest.raises(UserError, match=r"8 tokens, and the model in .* has 3"):
        open_model(tmp_path / "run" / "small.pt")


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float64"])
def test_other_numbers_stay_as_they_are(tmp_path: Path, dtype: str) -> None:
    import ml_dtypes

    there_and_back("nanogpt", tmp_path / "a.pt", NANO, getattr(np, dtype, None) or ml_dtypes.bfloat16)


@pytest.mark.parametrize(
    ("name", "change", "expected"),
    [
        ("nanogpt", {"mlp": MLP(4, "gelu_tanh")}, "model.mlp.activation = 'gelu_tanh'"),
        ("nanogpt", {"mlp": MLP(2, "gelu")}, "model.mlp.hidden = 32"),
        ("nanogpt", {"position": RoPE()}, r"model.position = RoPE\("),
        ("nanogpt", {"kv_heads": 1}, "model.kv_heads = 1"),
        ("nanogpt", {"norm": RMSNorm()}, "model.norm = RMSNorm"),
        ("nanogpt", {"vocab_size": None}, "model.vocab_size is None"),
        ("mingpt", {}, "model.mlp.activation = 'gelu'"),
        ("mingpt", {"mlp": MLP(4), "tied_head": True}, "model.tied_head = True"),
    ],
)
def test_what_does_not_fit_is_named(tmp_path: Path, name: str, change: Any, expected: str) -> None:
    config = replace(NANO, **change)
    params = random_params(replace(config, vocab_size=11))
    with pytest.raises(UserError, match=expected) as caught:
        write_model(name, tmp_path / "out", params, config)
    assert "\n" not in str(caught.value) and not list(tmp_path.iterdir())


def test_what_is_missing_left_over_or_misshapen_is_listed_in_full(tmp_path: Path) -> None:
    path = tmp_path / "ckpt.pt"
    model = gpt()
    state = model.state_dict()
    del state["transformer.h.1.mlp.c_fc.weight"], state["transformer.ln_f.bias"]
    state["transformer.extra"] = torch.ones(2)
    state["transformer.h.0.ln_1.weight"] = torch.ones(3)
    torch.save({"model": state, "model_args": {**SIZE, "bias": True}}, path)
    with pytest.raises(UserError) as caught:
        params_of(open_model(path))
    for name in ("h.1.mlp.c_fc.weight", "ln_f.bias", "transformer.extra", "transformer.h.0.ln_1.weight (3,)"):
        assert name in " ".join(caught.value.details)
    assert "2 missing, 1 misshapen, 1 left over" in str(caught.value)


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ({"model": {}, "model_args": SIZE}, "has no state_dict"),
        ({"model": {"a": 3}, "model_args": SIZE}, "a of its state_dict is no tensor"),
        ({"model": {"a": torch.ones(1)}, "model_args": {"n_layer": 2}}, "says no n_head"),
        ({"model": {"a": torch.ones(1)}, "model_args": {**SIZE, "n_layer": 2.5}}, "n_layer is 2.5"),
        ({"model": {"a": torch.ones(1)}, "model_args": {**SIZE, "bias": 1}}, "bias is 1, which is neither"),
        ({"weights": torch.ones(1)}, "holds no weights of a known format"),
        (torch.ones(1), "holds no weights of a known format"),
    ],
)
def test_files_of_torch_that_are_no_models(tmp_path: Path, content: Any, expected: str) -> None:
    torch.save(content, tmp_path / "ckpt.pt")
    with pytest.raises(UserError, match=expected) as caught:
        open_model(tmp_path / "ckpt.pt")
    assert "\n" not in str(caught.value)


def test_a_path_that_is_taken_or_is_not_there(tmp_path: Path) -> None:
    params = random_params(NANO)
    write_model("nanogpt", tmp_path / "out", params, NANO)
    with pytest.raises(UserError, match="is there already"):
        write_model("nanogpt", tmp_path / "out", params, NANO)
    with pytest.raises(UserError, match=r"no format 'nanogtp' of weights \(did you mean 'nanogpt'"):
        write_model("nanogtp", tmp_path / "b", params, NANO)
    with pytest.raises(UserError, match="does not exist"):
        open_model(tmp_path / "b")
    with pytest.raises(UserError, match=r"no weights of a known format\. Looked for: .*nanoGPT"):
        open_model(tmp_path)
    assert_equal(params_of(open_model(tmp_path / "out" / "ckpt.pt")), params)
