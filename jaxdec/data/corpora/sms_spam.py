"""The SMS Spam Collection (Almeida, Hidalgo and Yamakami, DocEng 2011): 5,574 English messages, 747 of them spam."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

from jaxdec.data.corpora.real import Archive, KnownFile, RealCorpus
from jaxdec.data.sources.lines import lines, where
from jaxdec.errors import UserError

Label = Literal["ham", "spam"]


@dataclass(frozen=True)
class Message:
    """`ham` is a message that somebody wanted."""

    label: Label
    text: str


def records(path: Path) -> Iterator[Message]:
    """The messages of a file of lines `label<TAB>text`. Raises UserError that names the line."""
    for line in lines(path):
        label, tab, text = line.text.removesuffix("\r").partition("\t")
        if not tab or label not in get_args(Label) or not text.strip():
            raise UserError(f"{where(path, line.start)} is no message: write ham<TAB>text or spam<TAB>text")
        yield Message("spam" if label == "spam" else "ham", text)


def documents(path: Path) -> Iterator[str]:
    return (message.text for message in records(path))


CORPUS = RealCorpus(
    name="sms_spam",
    about="5,574 text messages, 747 of them spam",
    file="SMSSpamCollection",
    size=477_907,
    sha256="7d039a24a6083ed9ef0f806ebad56bbb976e3aeb8de05669173bfdc4996c239d",
    mirrors=("https://archive.ics.uci.edu/static/public/228/sms+spam+collection.zip",),
    licence="CC BY 4.0",
    origin="UCI data set 228",
    documents=documents,
    archive=Archive(
        KnownFile("sms+spam+collection.zip", None, "1587ea43e58e82b14ff1f5425c88e17f8496bfcdb67a583dbff9eefaf9963ce3"),
        member="SMSSpamCollection",
    ),
)
