"""JSON lines (.jsonl, .ndjson): an object per line, or a string, which is taken for its field `text`."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path

from jaxdec.data.sources.lines import Row, lines, where
from jaxdec.errors import UserError


def rows(path: Path, after: int = 0, _: Sequence[str] = ()) -> Iterator[Row]:
    """The records behind a byte offset; empty lines are passed over. Raises UserError for a line that is no JSON."""
    for line in lines(path, after):
        if not line.text or line.text.isspace():
            continue
        try:
            value = json.loads(line.text)
        except json.JSONDecodeError as error:
            raise UserError(
                f"{where(path, line.start)} is not JSON ({error.msg}, column {error.colno}): each line must hold one "
                "JSON object"
            ) from None
        except (ValueError, RecursionError) as error:  # a number of thousands of digits, lists in lists without end
            raise UserError(f"{where(path, line.start)} is not JSON that can be read ({error})") from None
        yield Row(fields_of(value, path, line.start), line.start, line.after)


def fields_of(value: object, path: Path, start: int) -> dict[str, object]:
    """The fields of a record as it stands in JSON. Raises UserError for what is neither an object nor a string."""
    match value:
        case dict():
            return value
        case str():
            return {"text": value}
        case _:
            what = {list: "a list", bool: "true or false", type(None): "null"}.get(type(value), "a number")
            raise UserError(f"{where(path, start)} holds {what}: a record is a JSON object, or a string")
