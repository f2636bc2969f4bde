"""A file is written whole or not at all."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from jaxdec.config.files import whole_file, write_json, write_text


def test_a_file_is_replaced_when_the_new_one_is_complete(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("old")
    with whole_file(path) as temporary:
        temporary.write_text("half")
        assert path.read_text() == "old"
        temporary.write_text("whole")
    assert path.read_text() == "whole" and list(tmp_path.iterdir()) == [path]


def test_an_error_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("old")

    def fails_half_way() -> None:
        with whole_file(path) as temporary:
            temporary.write_text("half")
            raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        fails_half_way()
    assert path.read_text() == "old" and list(tmp_path.iterdir()) == [path]


def test_text_and_json(tmp_path: Path) -> None:
    write_text(tmp_path / "a.txt", "é\n")
    write_json(tmp_path / "a.json", {"a": [1, None]})
    assert (tmp_path / "a.txt").read_bytes() == "é\n".encode()
    assert json.loads((tmp_path / "a.json").read_text()) == {"a": [1, None]}
    with pytest.raises(OSError, match="nowhere"):
        write_text(tmp_path / "nowhere" / "a.txt", "")


def test_others_can_read_what_was_written(tmp_path: Path) -> None:
    (tmp_path / "plain").touch()
    write_text(tmp_path / "a.txt", "")
    assert (tmp_path / "a.txt").stat().st_mode == (tmp_path / "plain").stat().st_mode
