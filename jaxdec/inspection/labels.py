"""Short names of tokens for pictures, pages and terminals: white space is visible, halves of characters say so."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from jaxdec.data.tokenizers.registry import Tokenizer

UNFINISHED = "\ufffd"  # what a tokenizer makes of bytes that are no whole character
VISIBLE = {" ": "␣", "\n": "↵", "\t": "⇥", "\r": "␍"}
LONGEST_CHARACTER = 4  # bytes of UTF-8, and so tokens


def visible(text: str) -> str:
    """Text with its white space and control characters to be seen.

    >>> visible(" a\\n"), visible("\\x00\\u202e")
    ('␣a↵', '\\\\x00\\\\u202e')
    """
    return "".join(VISIBLE.get(each) or (each if each.isprintable() else ascii(each)[1:-1]) for each in text)


def text_labels(tokenizer: Tokenizer, ids: Sequence[int] | np.ndarray) -> list[str]:
    """What each token of a text adds to it. Of a character that several tokens make up, the whole character stands at
    each of them: "🙂 1/3", "🙂 2/3", "🙂 3/3"."""
    ids, labels, given = np.asarray(ids, np.int32), [], 0
    for end in range(1, len(ids) + 1):
        text = tokenizer.decode(ids[:end])
        waiting = end - len(labels)
        if text.endswith(UNFINISHED) and waiting < LONGEST_CHARACTER and end < len(ids):
            continue  # the next token may complete it
        piece, given = text[given:], len(text)
        if waiting == 1 and UNFINISHED not in piece and piece:
            labels.append(visible(piece))
        elif UNFINISHED in piece or not piece:  # broken text, or a special token
            labels += [token_label(tokenizer, each) for each in ids[end - waiting : end]]
        else:
            labels += [f"{visible(piece)} {part}/{waiting}" for part in range(1, waiting + 1)]
    return labels


def token_labels(tokenizer: Tokenizer, ids: Iterable[int], after: Sequence[int] | np.ndarray = ()) -> dict[int, str]:
    """The label of each of some tokens, as it would read `after` others: that decides whether a space stands before
    it."""
    before = next((int(each) for each in after if UNFINISHED not in tokenizer.decode([each])), None)
    return {each: token_label(tokenizer, each, before) for each in sorted({int(each) for each in ids})}


def token_label(tokenizer: Tokenizer, token: int, before: int | None = None) -> str:
    """The text of a token; of one without a text of its own the bytes, "⟨f0 9f⟩", or the number, "⟨#17⟩"."""
    token = int(token)
    if token >= tokenizer.vocab_size:  # a vocabulary that was padded
        return f"⟨#{token}⟩"
    if before is None:
        text = tokenizer.decode([token])
    else:
        text = tokenizer.decode([before, token])[len(tokenizer.decode([before])) :]
    if text and UNFINISHED not in text:
        return visible(text)
    encoding = getattr(tokenizer, "encoding", None)
    if encoding is None:
        return f"⟨#{token}⟩"
    return f"⟨{encoding.decode_single_token_bytes(token).hex(' ')}⟩"
