"""How a text is cut for measuring: words, symbols, sentences, paragraphs. The same for every tokenizer, so that figures
of models with different ones can be compared. For languages that separate words by spaces."""

from __future__ import annotations

import re

from jaxdec.data.tokenizers.base import END_OF_TEXT

_WORD = r"[^\W_]+(?:['’][^\W_]+)*"
_WORDS = re.compile(_WORD)
_SYMBOLS = re.compile(rf"{_WORD}|[^\w\s]|_")
_SENTENCE_END = re.compile(r"(?<=[.!?…])[\"'”’)\]]*(?:\s+|$)|\n\s*\n")
_PARAGRAPH_END = re.compile(r"\n\s*\n")


def plain(text: str) -> str:
    """A decoded text in which the ends of documents are empty lines."""
    return text.replace(END_OF_TEXT, "\n\n")


def words(text: str) -> list[str]:
    """Runs of letters and digits, with apostrophes inside.

    >>> words("The cat's 2 toys, (gone)!")
    ['The', "cat's", '2', 'toys', 'gone']
    """
    return _WORDS.findall(text)


def symbols(text: str) -> list[str]:
    """Words and every other visible character.

    >>> symbols("Oh, it's: gone!")
    ['Oh', ',', "it's", ':', 'gone', '!']
    """
    return _SYMBOLS.findall(text)


def sentences(text: str) -> list[str]:
    """Parts that end in . ! ? or an empty line, those without a word left out.

    >>> sentences("He came, late. Did he? 'No!' she said.\\n\\nThe end")
    ['He came, late.', 'Did he?', "'No!", 'she said.', 'The end']
    """
    return [part for part in _SENTENCE_END.split(text) if _WORDS.search(part)]


def paragraphs(text: str) -> list[str]:
    """Parts between empty lines."""
    return [part for part in _PARAGRAPH_END.split(text) if part.strip()]
