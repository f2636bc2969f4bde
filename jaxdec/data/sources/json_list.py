"""JSON (.json): a list of objects or of strings, read element by element; or an object per line, as in .jsonl."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from jaxdec.data.sources import jsonl
from jaxdec.data.sources.lines import RECORD, Row, too_long, where
from jaxdec.data.sources.streams import Stream
from jaxdec.data.sources.text import Decoder
from jaxdec.errors import UserError

SPACE = re.compile(r"[ \t\r\n]*")


def rows(path: Path, after: int = 0, _: Sequence[str] = ()) -> Iterator[Row]:
    """The records behind a byte offset. Raises UserError for what is not JSON, and for JSON that is no list."""
    with Stream(path) as stream:
        window = Window(path, stream, 0)
        first = window.next_character()
    match first:
        case "":
            return
        case "{":
            yield from jsonl.rows(path, after)
        case "[":
            with Stream(path) as stream:
                stream.skip(after)
                yield from _elements(path, Window(path, stream, after), opened=after > 0)
        case _:
            raise UserError(f"the file {path} is no list of records: a .json file begins with [ or {{, not {first!r}")


class Window:
    """The part of the text that is at work: `text` from `at` on has not been read, and begins at byte `offset`."""

    def __init__(self, path: Path, stream: Stream, offset: int) -> None:
        self.path, self.stream = path, stream
        self.decoder = Decoder(path, offset)
        self.text, self.at, self.offset, self.ended = "", 0, offset, False

    def more(self) -> bool:
        """Reads as much again as there is; False at the end of the file."""
        block = self.stream.read(max(2**20, len(self.text) - self.at))
        new = self.decoder.decode(block, final=not block)
        if self.offset == 0 and not self.text:
            self.offset = self.decoder.offset - len(new.encode())  # behind a byte order mark
        self.text, self.at, self.ended = self.text[self.at :] + new, 0, not block
        return bool(block)

    def go_to(self, at: int) -> None:
        self.offset += len(self.text[self.at : at].encode())
        self.at = at

    def next_character(self) -> str:
        """The next one that is no space, which stays; nothing at the end."""
        while True:
            match = SPACE.match(self.text, self.at)
            self.go_to(match.end() if match else self.at)
            if self.at < len(self.text):
                return self.text[self.at]
            if not self.more():
                return ""

    def take(self, expected: str) -> bool:
        """Passes over a character if it is one of the expected ones."""
        found = self.next_character()
        if found and found in expected:
            self.go_to(self.at + 1)
            return True
        return False

    def value(self) -> object:
        """The JSON value that begins here. Raises UserError where there is none."""
        while True:
            try:
                value, end = json.JSONDecoder().raw_decode(self.text, self.at)
            except (ValueError, RecursionError) as error:
                if len(self.text) - self.at > RECORD:
                    raise too_long(self.path, self.offset) from None
                if self.more():  # it may go on there
                    continue
                raise self.wrong(error) from None
            self.go_to(end)  # a number may go on behind what has been read: it is refused in any case
            return value

    def wrong(self, error: Exception) -> UserError:
        if not isinstance(error, json.JSONDecodeError):
            return UserError(f"{where(self.path, self.offset)} is not JSON that can be read ({error})")
        place = self.offset + len(self.text[self.at : error.pos].encode())
        cut = ": the file is cut off, or a bracket or quote is missing" if error.pos >= len(self.text.rstrip()) else ""
        return UserError(f"{where(self.path, place)} is not JSON ({error.msg}){cut}")


def _elements(path: Path, window: Window, opened: bool) -> Iterator[Row]:
    """The elements of a list; `opened`: its bracket lies behind, and an element may."""
    if not opened:
        window.take("[")
    more = window.take(",") if opened else False
    more = more or window.next_character() not in ("]", "")
    while more:
        window.next_character()
        start = window.offset
        value = window.value()
        yield Row(jsonl.fields_of(value, path, start), start, window.offset)
        more = window.take(",")
    if not window.take("]"):
        if window.next_character():
            raise UserError(f"{where(path, window.offset)} is not JSON: a comma or ] is missing after a record")
        raise UserError(f"the file {path} is cut off: its list has no end. Get it again, whole")
    _nothing_follows(path, window)


def _nothing_follows(path: Path, window: Window) -> None:
    if window.next_character():
        raise UserError(f"{where(path, window.offset)} goes on behind the end of the list: a .json file holds one list")
