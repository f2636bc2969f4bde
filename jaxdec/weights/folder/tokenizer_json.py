"""Our tokenizers as the `tokenizer.json` of Hugging Face's `tokenizers`, and back.

The ids are the same for every text that the tokenizer can encode; `<|endoftext|>` in a text becomes the special token
there, which it does here only where it is asked for. What is decoded is the same too, except for words, whose spaces
`tokenizers` has no rule for: it puts one between any two.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

from jaxdec.data.tokenizers.base import END_OF_TEXT, Tokenizer, require_unicode
from jaxdec.data.tokenizers.bpe import BPETokenizer, byte_of_letter
from jaxdec.data.tokenizers.char import CharTokenizer
from jaxdec.data.tokenizers.gpt2 import GPT2Tokenizer
from jaxdec.data.tokenizers.huggingface import HuggingFaceTokenizer
from jaxdec.data.tokenizers.sentencepiece import FIRST_PIECE, SentencePieceTokenizer
from jaxdec.data.tokenizers.words import UNKNOWN, WordTokenizer
from jaxdec.errors import UserError

# Python's \s for text, character by character: that of `tokenizers` is Unicode's White_Space, without U+001C to U+001F.
SPACES = r"[\t\n\x0b\x0c\r \x1c-\x1f\x{85}\x{a0}\x{1680}\x{2000}-\x{200a}\x{2028}\x{2029}\x{202f}\x{205f}\x{3000}]+"
SPACE, SENTENCEPIECE = "\u2581", ("<unk>", "<s>", "</s>")
PUNCTUATION = r"""--|[,.:;?_!"()']"""


def tokenizer_files(tokenizer: Tokenizer, context: int) -> dict[str, str]:
    """The files of a tokenizer in a Hugging Face folder, by name, for a model that reads `context` tokens. Raises
    UserError where `tokenizers` cannot express it."""
    content = tokenizer_json(tokenizer)
    special = special_tokens(tokenizer)
    settings = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "model_max_length": context,
        "clean_up_tokenization_spaces": False,
        **special,
    }
    files = {"tokenizer.json": content, "tokenizer_config.json": _text(settings)}
    return {**files, **({"special_tokens_map.json": _text(special)} if special else {})}


def special_tokens(tokenizer: Tokenizer) -> dict[str, str]:
    """What transformers calls the special tokens."""
    end = tokenizer.end_of_text
    name = None if end is None else tokenizer.decode([end])
    name = SENTENCEPIECE[1] if isinstance(tokenizer, SentencePieceTokenizer) else name
    named = {} if name is None else dict.fromkeys(("bos_token", "eos_token"), name)
    return {**named, **({"unk_token": UNKNOWN} if isinstance(tokenizer, WordTokenizer) else {})}


def tokenizer_json(tokenizer: Tokenizer) -> str:
    """The content of tokenizer.json. Raises UserError for a kind that has none."""
    match tokenizer:
        case HuggingFaceTokenizer():
            return tokenizer.content
        case CharTokenizer():
            return _text(_characters(tokenizer.characters))
        case WordTokenizer():
            return _text(_words(tokenizer.words))
        case BPETokenizer():
            return _text(_byte_pairs(tokenizer.ranks))
        case GPT2Tokenizer():
            ranks = tokenizer.encoding._mergeable_ranks
            return _text(_byte_pairs(sorted(ranks, key=ranks.__getitem__)))
        case SentencePieceTokenizer():
            return _text(_scored_pairs(tokenizer.pieces))
        case _:
            raise UserError(f"a tokenizer of kind {tokenizer.kind} has no form as a tokenizer.json")


def ours_of(content: str) -> Tokenizer | None:
    """The tokenizer of ours that a tokenizer.json is, with the same ids for every text; None where it is no such."""
    try:
        values = json.loads(content)
        model = values["model"]
        vocabulary = sorted(model["vocab"], key=model["vocab"].__getitem__)
        if model["type"] == "BPE":
            return _as_byte_pairs(values, vocabulary)
        if model["type"] == "WordLevel":
            words = UNKNOWN in model["vocab"]
            made = WordTokenizer(vocabulary[:-2]) if words else CharTokenizer("".join(vocabulary))
            return made if json.loads(tokenizer_json(made)) == values else None
    except (KeyError, TypeError, ValueError, IndexError, UserError):
        pass
    return None


def merges_of(ranks: Sequence[bytes]) -> list[tuple[bytes, bytes]]:
    """For each token of more than a byte, in order, the two tokens that byte-pair encoding joined to make it: what is
    left of its bytes when all pairs of lower rank are joined. Raises ValueError where more than two are left."""
    by_token = {token: rank for rank, token in enumerate(ranks)}
    merges = []
    for rank, token in enumerate(ranks):
        if len(token) == 1:
            continue
        parts = [token[i : i + 1] for i in range(len(token))]
        while len(parts) > 2:
            joined = [by_token.get(a + b, rank) for a, b in pairwise(parts)]
            least = min(joined)
            if least >= rank:
                raise ValueError("a token is not two others")
            at = joined.index(least)
            parts[at : at + 2] = [parts[at] + parts[at + 1]]
        merges.append((parts[0], parts[1]))
    return merges


def _characters(characters: str) -> dict[str, Any]:
    """Each character is a word."""
    return _tokenizer(
        model={"type": "WordLevel", "vocab": _numbered(characters), "unk_token": ""},
        pre_tokenizer=_split(r"[\s\S]", "Isolated"),
        decoder={"type": "Fuse"},
    )


def _words(words: Sequence[str]) -> dict[str, Any]:
    """Words and punctuation, cut as WordTokenizer cuts."""
    return _tokenizer(
        model={"type": "WordLevel", "vocab": _numbered([*words, END_OF_TEXT, UNKNOWN]), "unk_token": UNKNOWN},
        pre_tokenizer={
            "type": "Sequence",
            "pretokenizers": [_split(PUNCTUATION, "Isolated"), _split(SPACES, "Removed")],
        },
        added={len(words): END_OF_TEXT, len(words) + 1: UNKNOWN},
    )


def _byte_pairs(ranks: Sequence[bytes]) -> dict[str, Any]:
    letter = {byte: letter for letter, byte in byte_of_letter().items()}

    def spelled(token: bytes) -> str:
        return "".join(letter[byte] for byte in token)

    return _tokenizer(
        model={
            "type": "BPE",
            "dropout": None,
            "unk_token": None,
            "continuing_subword_prefix": "",
            "end_of_word_suffix": "",
            "fuse_unk": False,
            "byte_fallback": False,
            "ignore_merges": False,
            "vocab": {**_numbered([spelled(token) for token in ranks]), END_OF_TEXT: len(ranks)},
            "merges": [[spelled(a), spelled(b)] for a, b in merges_of(ranks)],
        },
        pre_tokenizer=_byte_level(),
        decoder=_byte_level(),
        added={len(ranks): END_OF_TEXT},
    )


def _scored_pairs(pieces: Sequence[tuple[str, float]]) -> dict[str, Any]:
    """SentencePiece's pairs by score, as Llama's tokenizer.json has them: the letter U+2581 stands for a space."""
    names = [piece.replace(" ", SPACE) for piece, _ in pieces]
    names[:3] = SENTENCEPIECE
    if len(set(names)) != len(names):
        raise UserError("the SentencePiece tokenizer has the same piece twice, which a tokenizer.json cannot have")
    ordinary = {name: number for number, name in enumerate(names) if number >= FIRST_PIECE}
    by_score = sorted(ordinary, key=lambda name: (-pieces[ordinary[name]][1], ordinary[name]))
    halves = [(name[:cut], name[cut:]) for name in by_score for cut in range(1, len(name))]
    space = {"String": " "}
    return _tokenizer(
        model={
            "type": "BPE",
            "unk_token": SENTENCEPIECE[0],
            "fuse_unk": True,
            "byte_fallback": True,
            "vocab": _numbered(names),
            "merges": [[left, right] for left, right in halves if left in ordinary and right in ordinary],
        },
        pre_tokenizer=None,
        normalizer={
            "type": "Sequence",
            "normalizers": [
                {"type": "Prepend", "prepend": SPACE},
                {"type": "Replace", "pattern": space, "content": SPACE},
            ],
        },
        decoder={
            "type": "Sequence",
            "decoders": [
                {"type": "Replace", "pattern": {"String": SPACE}, "content": " "},
                {"type": "ByteFallback"},
                {"type": "Fuse"},
                {"type": "Strip", "content": " ", "start": 1, "stop": 0},
            ],
        },
        added=dict(enumerate(SENTENCEPIECE)),
    )


def _as_byte_pairs(values: Mapping[str, Any], vocabulary: Sequence[str]) -> BPETokenizer | None:
    """Byte-level BPE with GPT-2's pattern, whose ids are its ranks and whose last one is <|endoftext|>."""
    model, cut = values["model"], values["pre_tokenizer"]
    added = [(each["id"], each["content"]) for each in values["added_tokens"]]
    plain = not any(model.get(name) for name in ("dropout", "byte_fallback", "ignore_merges", "fuse_unk"))
    plain = plain and not (model.get("continuing_subword_prefix") or model.get("end_of_word_suffix"))
    whole = cut["type"] == "ByteLevel" and not cut["add_prefix_space"] and cut.get("use_regex", True)
    if not plain or not whole or values.get("normalizer") or added != [(len(vocabulary) - 1, END_OF_TEXT)]:
        return None
    if vocabulary[-1] != END_OF_TEXT or [model["vocab"][token] for token in vocabulary] != [*range(len(vocabulary))]:
        return None
    byte = byte_of_letter()
    ranks = [bytes(byte[letter] for letter in token) for token in vocabulary[:-1]]
    merges = [tuple(pair.split(" ")) if isinstance(pair, str) else tuple(pair) for pair in model["merges"]]
    given = [tuple(bytes(byte[letter] for letter in part) for part in pair) for pair in merges]
    return BPETokenizer(ranks) if given == merges_of(ranks) else None


def _tokenizer(
    model: Mapping[str, Any],
    pre_tokenizer: Mapping[str, Any] | None,
    decoder: Mapping[str, Any] | None = None,
    added: Mapping[int, str] | None = None,
    normalizer: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    plain = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True}
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [{"id": number, "content": token, **plain} for number, token in (added or {}).items()],
        "normalizer": normalizer,
        "pre_tokenizer": pre_tokenizer,
        "post_processor": None,
        "decoder": decoder,
        "model": model,
    }


def _numbered(tokens: Sequence[str]) -> dict[str, int]:
    return {token: number for number, token in enumerate(tokens)}


def _split(pattern: str, behavior: str) -> dict[str, Any]:
    return {"type": "Split", "pattern": {"Regex": pattern}, "behavior": behavior, "invert": False}


def _byte_level() -> dict[str, Any]:
    return {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True}


def _text(values: Mapping[str, Any]) -> str:
    text = json.dumps(values, ensure_ascii=False, indent=1) + "\n"
    require_unicode(text)  # a character tokenizer may know half of a surrogate pair
    return text
