"""OpenAI's own GPT-2 checkpoints, which TensorFlow wrote: model.ckpt.index, its data, hparams.json.

https://github.com/openai/gpt-2, `src/model.py`. Matrices are [1, in, out], as of a convolution.
"""

from __future__ import annotations

import re
from pathlib import Path

from jaxdec.config.model import DecoderConfig
from jaxdec.config.parts import MLP, LayerNorm
from jaxdec.config.positions import Learned
from jaxdec.data.files import file_sha256
from jaxdec.data.tokenizers.base import Tokenizer
from jaxdec.data.tokenizers.gpt2 import FILES
from jaxdec.errors import UserError, listed
from jaxdec.weights.formats.base import Format, StoredModel
from jaxdec.weights.formats.fit import read_json, tokenizer_beside, whole
from jaxdec.weights.formats.tensor_bundle import open_bundle
from jaxdec.weights.huggingface.tables import rule_lines, under

NAME, SETTINGS = "openai", "hparams.json"
NORMS = {"attention_norm": "ln_1", "mlp_norm": "ln_2"}
# What programs that train on save beside the model.
LEFT_OUT = "".join(
    f"- <-? {name}\n" for name in ("{name}/Adam", "{name}/Adam_1", "beta1_power", "beta2_power", "global_step")
)


def recognise(path: Path) -> bool:
    return _folder(path) is not None


def open_openai(path: Path) -> StoredModel:
    """The model of a folder, of an `.index` file in it, or of a checkpoint's name without `.index`."""
    folder = _folder(path)
    assert folder is not None, f"{path} was recognised"
    index = _index(folder) if path.is_dir() else path
    config = config_of(folder / SETTINGS)
    return StoredModel(NAME, path, config, rules_of(config), open_bundle(index), _tokenizer(folder, config))


def config_of(path: Path) -> DecoderConfig:
    """The config that hparams.json says."""
    settings = read_json(path)
    return DecoderConfig(
        layers=whole(settings, "n_layer", path),
        heads=whole(settings, "n_head", path),
        width=whole(settings, "n_embd", path),
        context=whole(settings, "n_ctx", path),
        vocab_size=whole(settings, "n_vocab", path),
        position=Learned(init_std=0.01),
        norm=LayerNorm(1e-5),
        mlp=MLP(activation="gelu_tanh"),
    )


def rules_of(config: DecoderConfig) -> str:
    """The table from the names of TensorFlow's variables."""
    width, hidden = config.width, 4 * config.width
    block: dict[str, str] = {}
    for number, part in enumerate(("query", "key", "value")):
        block[f"attention.{part}.kernel"] = f"/attn/c_attn/w : chunk({number},3,2) reshape({width},{width})"
        block[f"attention.{part}.bias"] = f"/attn/c_attn/b : chunk({number},3,0)"
    for ours, theirs, rows, columns in (
        ("attention.out", "attn/c_proj", width, width),
        ("mlp.up", "mlp/c_fc", width, hidden),
        ("mlp.down", "mlp/c_proj", hidden, width),
    ):
        block |= {f"{ours}.kernel": f"/{theirs}/w : reshape({rows},{columns})", f"{ours}.bias": f"/{theirs}/b"}
    for ours, theirs in NORMS.items():
        block |= {f"{ours}.scale": f"/{theirs}/g", f"{ours}.bias": f"/{theirs}/b"}
    names = {
        "token_embed.embedding": "model/wte",
        "position_embed.embedding": "model/wpe",
        **under("blocks.{i}.", "model/h{i}", block),
        "final_norm.scale": "model/ln_f/g",
        "final_norm.bias": "model/ln_f/b",
    }
    return rule_lines([names]) + LEFT_OUT


def _folder(path: Path) -> Path | None:
    """The folder with hparams.json that a path is, or lies in; None where there is none, or no checkpoint."""
    if path.is_dir():
        return path if (path / SETTINGS).is_file() and any(path.glob("*.index")) else None
    return path.parent if path.suffix == ".index" and (path.parent / SETTINGS).is_file() else None


def _index(folder: Path) -> Path:
    """The checkpoint that the file `checkpoint` names, or else the only one. UserError where there are several."""
    named, found = folder / "checkpoint", sorted(folder.glob("*.index"))
    if named.is_file():
        text = re.search(r'^model_checkpoint_path: "([^"/\\]+)"', named.read_text(errors="replace"), re.MULTILINE)
        if text and folder / f"{text[1]}.index" in found:
            return folder / f"{text[1]}.index"
    if len(found) > 1:
        raise UserError(f"{folder} holds several checkpoints ({listed(each.name for each in found)}): give one of them")
    return found[0]


def _tokenizer(folder: Path, config: DecoderConfig) -> Tokenizer | None:
    """GPT-2's, or that of a tokenizer.json. UserError where the folder has a vocabulary that is not GPT-2's."""
    for name, (_, checksum) in FILES.items():
        if (folder / name).is_file() and file_sha256(folder / name) != checksum:
            raise UserError(
                f"{folder / name} is not GPT-2's, and other vocabularies in this form are not read: put it right, or "
                f"put a tokenizer.json in its place"
            )
    return tokenizer_beside(folder / SETTINGS, config.vocab_size or 0)


OPENAI = Format(
    name=NAME,
    looked_for=f"OpenAI's GPT-2 of TensorFlow (model.ckpt.index and {SETTINGS})",
    recognise=recognise,
    open=open_openai,
)
