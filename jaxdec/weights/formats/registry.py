"""The formats of weights that are known, and which of them a file or folder is.

A new format is a file of this folder with a value of `Format`, and a line in `FORMATS`. See docs/formats.md.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jaxdec.config.model import DecoderConfig
from jaxdec.data.files import new_folder
from jaxdec.data.tokenizers.base import Tokenizer
from jaxdec.errors import UserError, nearest
from jaxdec.weights.formats.base import Format, StoredModel
from jaxdec.weights.formats.gguf import GGUF
from jaxdec.weights.formats.huggingface import HUGGINGFACE
from jaxdec.weights.formats.llama2c import LLAMA2C
from jaxdec.weights.formats.llmc import LLMC
from jaxdec.weights.formats.mingpt import MINGPT
from jaxdec.weights.formats.nanogpt import NANOGPT
from jaxdec.weights.formats.openai import OPENAI
from jaxdec.weights.formats.peft import PEFT
from jaxdec.weights.formats.torchref import TORCHREF

# In the order in which they are asked whether they recognise a path.
FORMATS: Mapping[str, Format] = {
    each.name: each
    for each in (
        NANOGPT,
        MINGPT,
        TORCHREF,
        LLMC,
        LLAMA2C,  # after what has a magic number
        OPENAI,
        GGUF,
        PEFT,
        HUGGINGFACE,  # last: folders of minGPT have a config.json too
    )
}


class UnknownFormat(UserError):
    """No format recognises what is at a path."""


def open_model(path: Path) -> StoredModel:
    """The model at a path, a file or a folder. UnknownFormat, with what was looked for, where no format recognises it;
    UserError where it is damaged or not supported."""
    if not path.exists():
        raise UserError(f"{path} does not exist: give the file or folder of a model's weights")
    for each in FORMATS.values():
        if each.recognise(path):
            return each.open(path)
    looked_for = "; ".join(each.looked_for for each in FORMATS.values())
    raise UnknownFormat(f"{path} holds no weights of a known format. Looked for: {looked_for}")


def write_model(
    name: str, path: Path, params: Mapping[str, Any], config: DecoderConfig, tokenizer: Tokenizer | None = None
) -> None:
    """Writes our flat parameters in a format: to the file `path` where it ends as the format's files do, otherwise to
    a new folder. Raises UserError where the path is taken or the format has no such model; then nothing is written."""
    if name not in FORMATS:
        raise UserError(f"there is no format {name!r} of weights{nearest(name, FORMATS)}")
    each = FORMATS[name]
    if each.write is None:
        raise UserError(f"{name} is read, not written: choose {', '.join(n for n, f in FORMATS.items() if f.write)}")
    if path.exists():
        raise UserError(f"{path} is there already: choose another path, or delete it")
    if path.suffix in each.suffixes:
        path.parent.mkdir(parents=True, exist_ok=True)
        each.write(path, params, config, tokenizer)
        return
    with new_folder(path, "the weights' folder") as temporary:
        each.write(temporary / each.file, params, config, tokenizer)
