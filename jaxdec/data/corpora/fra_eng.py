"""English sentences with French translations: the first 76,037 pairs of the list that manythings.org makes of Tatoeba's
(CC BY 2.0 FR).

The list there grows, so no address holds these very bytes: the file is looked up in the data folder, and known by its
checksum. An encoder-decoder reads its pairs (`corpora.pairs`), a decoder its lines.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from jaxdec.data.corpora.real import RealCorpus
from jaxdec.data.files import decode, read_bytes
from jaxdec.data.sources.lines import lines


def read(from_file: Path | None) -> str:
    """The file's text: lines `English<TAB>French`. `from_file`, the user's copy, is put into the data folder.

    Raises UserError where there is no such file, or another one.
    """
    if from_file is not None:
        CORPUS.take(from_file)
    place = CORPUS.obtain()
    return decode(read_bytes(place, "the corpus fra_eng in"), place, "the corpus")


def documents(path: Path) -> Iterator[str]:
    return (line.text for line in lines(path))


CORPUS = RealCorpus(
    name="fra_eng",
    about="76,037 English sentences, each with a French one, as lines English<TAB>French",
    file="fra.txt",
    size=3_996_938,
    sha256="0054ea2102484f4800d0b2cca57460b6b4a2e05328e6954240601065b001b1a6",
    mirrors=(),
    licence="CC BY 2.0 FR",
    origin="Tatoeba via manythings.org",
    documents=documents,
)
SIZE = CORPUS.size  # bytes
