"""What formats share: settings out of a file, whether a config fits a format, a tokenizer that lies beside weights."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jaxdec.config.files import beside
from jaxdec.config.model import DecoderConfig
from jaxdec.data.tokenizers.base import FILE, Tokenizer
from jaxdec.data.tokenizers.gpt2 import GPT2Tokenizer
from jaxdec.data.tokenizers.huggingface import HuggingFaceTokenizer
from jaxdec.data.tokenizers.registry import load_tokenizer
from jaxdec.errors import UserError
from jaxdec.weights.huggingface.function import first_difference

GPT2_TOKENS = (50257, 50304)  # GPT-2's tokens, and as many as nanoGPT and llm.c fill them up to


def whole(settings: Mapping[str, Any], name: str, place: Path | str) -> int:
    """A setting that is a whole number from 1. UserError where it is missing or anything else."""
    if name not in settings:
        raise UserError(f"{place} says no {name}: give it a whole number from 1")
    value = settings[name]
    if type(value) is not int or not 1 <= value < 2**31:
        raise UserError(f"{place} says that {name} is {value!r}, which is no whole number from 1")
    return value


def truth(settings: Mapping[str, Any], name: str, place: Path | str) -> bool:
    """A setting that is true or false."""
    value = settings.get(name)
    if type(value) is not bool:
        raise UserError(f"{place} says that {name} is {value!r}, which is neither true nor false")
    return value


def read_json(path: Path) -> dict[str, Any]:
    """The JSON object in a file. UserError where it cannot be read or is anything else."""
    try:
        found = json.loads(path.read_bytes())
    except OSError as error:
        raise UserError(f"{path} cannot be read ({error.strerror}): check the path and its permissions") from None
    except (ValueError, RecursionError):
        raise UserError(f"{path} is no JSON: mend it") from None
    if not isinstance(found, dict):
        raise UserError(f"{path} is no JSON object: mend it")
    return found


def require_fit(name: str, config: DecoderConfig, back: DecoderConfig) -> None:
    """UserError, naming the first setting that is in the way, unless `back`, the model that would be read from what is
    written, computes the same function of its weights."""
    if config.vocab_size is None:
        raise UserError("model.vocab_size is None, the tokenizer's: give the number of rows that the embedding has")
    if difference := first_difference(config, back):
        raise UserError(f"{name} has no {difference}: write another format, or change the model")


def tokenizer_beside(file: Path, vocab_size: int) -> Tokenizer | None:
    """The tokenizer in tokenizer.json beside a file of weights, ours or of `tokenizers`; without one, GPT-2's where the
    vocabulary has its size, otherwise none. UserError where it is damaged or has more tokens than the model."""
    path = file.parent / FILE
    if not path.is_file():
        return GPT2Tokenizer() if vocab_size in GPT2_TOKENS else None
    if "model" in read_json(path):
        tokenizer: Tokenizer = HuggingFaceTokenizer.from_file(str(path))
    else:
        tokenizer = load_tokenizer(file.parent)
    if tokenizer.vocab_size > vocab_size:
        raise UserError(
            f"{path} has {tokenizer.vocab_size} tokens, and the model in {file} has {vocab_size}: it is another model's"
        )
    return tokenizer


def save_tokenizer(tokenizer: Tokenizer | None, file: Path) -> None:
    """Puts a tokenizer beside a file of weights, where `tokenizer_beside` finds it. UserError where another lies."""
    if tokenizer is None:
        return
    temporary = beside(file)
    try:
        tokenizer.save(temporary)
        parts = sorted(temporary.iterdir())
        for part in parts:
            there = file.parent / part.name
            if there.exists() and there.read_bytes() != part.read_bytes():
                raise UserError(f"{there} is another tokenizer: write the weights to another folder, or delete it")
        for part in parts:
            part.replace(file.parent / part.name)
    except OSError as error:
        raise UserError(
            f"the tokenizer beside {file} cannot be written ({error.strerror}): free space there, or choose another "
            f"folder"
        ) from None
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
