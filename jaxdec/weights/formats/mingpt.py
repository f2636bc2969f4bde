"""minGPT's model.pt: a bare state_dict. The number of heads stands in no tensor; it is read from a JSON file beside it.

https://github.com/karpathy/minGPT, `mingpt/model.py`. Its projects save config.json beside model.pt, with the section
"model"; a file of the weights' own name, `{"n_head": 6}` in model.json, does as well.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from jaxdec.config.files import write_json
from jaxdec.config.model import DecoderConfig
from jaxdec.config.parts import MLP, LayerNorm
from jaxdec.data.tokenizers.base import Tokenizer
from jaxdec.errors import UserError
from jaxdec.weights.formats import gpt
from jaxdec.weights.formats.base import Format, Lazy, StoredModel, StoredTensor
from jaxdec.weights.formats.fit import read_json, require_fit, save_tokenizer, tokenizer_beside, whole
from jaxdec.weights.formats.torch_file import is_torch_file, read_torch_file, state_dict
from jaxdec.weights.formats.torch_write import write_torch_file
from jaxdec.weights.stream import their_tensors

NAME, FILE = "mingpt", "model.pt"
HEADS = {  # of the sizes that a config may name instead of numbers
    "openai-gpt": 12, "gpt2": 12, "gpt2-medium": 16, "gpt2-large": 20, "gpt2-xl": 25,
    "gopher-44m": 16, "gpt-mini": 6, "gpt-micro": 4, "gpt-nano": 3,
}  # fmt: skip


def recognise(path: Path) -> bool:
    file = path / FILE if path.is_dir() else path
    if not is_torch_file(file):
        return False
    content = read_torch_file(file)
    return isinstance(content, Mapping) and gpt.is_gpt(content) and "lm_head.weight" in content


def open_mingpt(path: Path) -> StoredModel:
    """The model of a model.pt, or of the folder that it lies in."""
    file = path / FILE if path.is_dir() else path
    tensors = state_dict(read_torch_file(file), file)
    config = config_of(tensors, heads_beside(file), file)
    return StoredModel(NAME, path, config, gpt.rules(config), tensors, tokenizer_beside(file, config.vocab_size or 0))


def write(file: Path, params: Mapping[str, Any], config: DecoderConfig, tokenizer: Tokenizer | None) -> None:
    """A state_dict that minGPT's GPT loads, with the masks that it keeps, and a config.json beside it."""
    tensors: dict[str, Any] = dict(their_tensors(gpt.rules(config), params))
    require_fit(NAME, config, config_of(tensors, config.heads, file))
    mask = Lazy(
        (1, 1, config.context, config.context),
        "float32",
        lambda: np.tril(np.ones((1, 1, config.context, config.context), np.float32)),
    )
    tensors |= {f"transformer.h.{layer}.attn.bias": mask for layer in range(config.layers)}
    write_torch_file(file, tensors)
    settings = {
        "model_type": None,
        "n_layer": config.layers,
        "n_head": config.heads,
        "n_embd": config.width,
        "vocab_size": config.vocab_size,
        "block_size": config.context,
    }
    write_json(file.parent / "config.json", {"model": settings})
    save_tokenizer(tokenizer, file)


def config_of(tensors: Mapping[str, StoredTensor], heads: int, file: Path) -> DecoderConfig:
    """The config that the shapes of a state_dict have, with that many heads."""
    embedding, positions = (tensors[f"transformer.{name}.weight"].shape for name in ("wte", "wpe"))
    if len(embedding) != 2 or len(positions) != 2:
        raise UserError(f"{file}: embeddings of shapes {embedding} and {positions} are not those of minGPT")
    return DecoderConfig(
        layers=len({name.split(".")[2] for name in tensors if name.startswith("transformer.h.")}),
        heads=heads,
        width=embedding[1],
        context=positions[0],
        vocab_size=embedding[0],
        norm=LayerNorm(1e-5),
        mlp=MLP(activation="gelu_tanh"),
        tied_head=False,
    )


def heads_beside(file: Path) -> int:
    """The heads that a JSON file beside the weights says. UserError, with what to write there, where none does."""
    for path in (file.with_suffix(".json"), file.parent / "config.json"):
        if not path.is_file():
            continue
        settings = read_json(path)
        settings = settings["model"] if isinstance(settings.get("model"), Mapping) else settings
        if settings.get("n_head") is not None:
            return whole(settings, "n_head", path)
        if settings.get("model_type") in HEADS:
            return HEADS[settings["model_type"]]
    raise UserError(
        f"{file} is a model of minGPT, in which nothing says how many heads it has: write a line such as "
        f'{{"n_head": 6}} to {file.with_suffix(".json")}, or put its config.json beside it'
    )


MINGPT = Format(
    name=NAME,
    looked_for="minGPT's model.pt, a state_dict",
    recognise=recognise,
    open=open_mingpt,
    write=write,
    suffixes=(".pt", ".pth"),
    file=FILE,
)
