"""The tokenizer of a Hugging Face folder: `tokenizer.json`, GPT-2's two files, or a SentencePiece model."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from jaxdec.data.files import decode, read_bytes
from jaxdec.data.tokenizers.base import END_OF_TEXT, Tokenizer
from jaxdec.data.tokenizers.huggingface import HuggingFaceTokenizer
from jaxdec.errors import UserError
from jaxdec.weights.folder.tokenizer_json import ours_of

WHAT = "the tokenizer file"


def read_tokenizer(folder: Path, ends: Sequence[int] = ()) -> Tokenizer | None:
    """The tokenizer of a folder, or of a tokenizer.json; None where there is none. `ends` are the ids that end a text.

    Raises UserError where a file is damaged, or needs a package that is not there.
    """
    if folder.is_file():
        return tokenizer_of(decode(read_bytes(folder, WHAT), folder, WHAT), folder, ends)
    if (folder / "tokenizer.json").is_file():
        return read_tokenizer(folder / "tokenizer.json", ends)
    if (folder / "vocab.json").is_file() and (folder / "merges.txt").is_file():
        return tokenizer_of(_of_gpt2_files(folder), folder / "vocab.json", ends)
    if (folder / "tokenizer.model").is_file():
        return tokenizer_of(_of_sentencepiece(folder), folder / "tokenizer.model", ends)
    return None


def tokenizer_of(content: str, place: Path, ends: Sequence[int] = ()) -> Tokenizer:
    """The tokenizer of the content of a tokenizer.json: one of our own kinds, which are faster, where ids are equal."""
    if (ours := ours_of(content)) is not None:
        return ours
    try:
        tokenizer = HuggingFaceTokenizer(content)
        named = next((tokenizer.tokenizer.id_to_token(number) for number in ends), None)
        return tokenizer if named in (None, END_OF_TEXT) else HuggingFaceTokenizer(content, end_of_text=named)
    except ValueError as error:
        raise UserError(f"{place} cannot be read by Hugging Face's tokenizers ({error}): fetch it again") from None


def _of_gpt2_files(folder: Path) -> str:
    """GPT-2's vocab.json and merges.txt as a tokenizer.json."""
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers

    lines = decode(read_bytes(folder / "merges.txt", WHAT), folder / "merges.txt", WHAT).split("\n")
    try:
        vocabulary = json.loads(read_bytes(folder / "vocab.json", WHAT))
        merges = [tuple(line.split(" ")) for line in lines if line and not line.startswith("#version")]
        tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=merges))  # type: ignore[arg-type]
    except Exception as error:  # of the JSON, or the library's bare ones
        reason = " ".join(str(error).split())[:200]
        raise UserError(f"{folder}/vocab.json and merges.txt are damaged ({reason}): fetch them again") from None
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    if END_OF_TEXT in vocabulary:
        tokenizer.add_special_tokens([AddedToken(END_OF_TEXT, normalized=False, special=True)])
    return tokenizer.to_str()


def _of_sentencepiece(folder: Path) -> str:
    """A SentencePiece model as a tokenizer.json, by way of transformers."""
    advice = f"write it once with transformers: AutoTokenizer.from_pretrained('{folder}').save_pretrained('{folder}')"
    try:
        from transformers import AutoTokenizer
    except ImportError:
        raise UserError(
            f"{folder} has its tokenizer as a SentencePiece model alone, which transformers reads: "
            "pip install 'jaxdec[huggingface]' sentencepiece"
        ) from None
    try:
        return AutoTokenizer.from_pretrained(str(folder)).backend_tokenizer.to_str()
    except Exception as error:
        reason = " ".join(str(error).split())[:200]
        raise UserError(f"{folder}/tokenizer.model cannot be read ({reason}): {advice}") from None
