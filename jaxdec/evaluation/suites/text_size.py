"""How many characters and bytes the text of a split has, counted on the text itself."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from jaxdec.config.run import DataConfig
from jaxdec.data.corpora.registry import CORPORA, corpus_of
from jaxdec.data.shards import Dataset
from jaxdec.data.tokens.outside import files_of_splits
from jaxdec.data.tokens.split import Reading, Splitter


@dataclass(frozen=True)
class TextSize:
    """`source`: what was counted."""

    characters: int
    bytes: int
    source: str


def text_size(data: DataConfig, dataset: Dataset, splits: Collection[str]) -> TextSize:
    """The size of these splits together. Of token ids that another program wrote there is no text: there the text is
    what the ids stand for."""
    named = data.corpus.partition(":")[0] in CORPORA
    if not named and files_of_splits(Path(data.corpus).expanduser()) is not None:
        texts = [dataset.tokenizer.decode(getattr(dataset, split)) for split in sorted(splits)]
        return TextSize(sum(map(len, texts)), sum(len(text.encode()) for text in texts), "the decoded tokens")
    splitter = Splitter(corpus_of(data), data.validation_fraction)
    characters = size = 0
    for stretches, _ in splitter.stretches(lambda text: (len(text), len(text)), Reading()):
        for stretch in stretches:
            if stretch.split in splits:
                characters += len(stretch.text)
                size += len(stretch.text.encode())
    return TextSize(characters, size, "the text")
