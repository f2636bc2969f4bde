"""Embedded files: from a checkout, and from an installation that has them inside the package."""

from __future__ import annotations

from pathlib import Path

import pytest

from jaxdec.data.corpora import embedded
from jaxdec.data.corpora.embedded import embedded_file, embedded_text
from jaxdec.errors import UserError


def test_a_checkout_s_files_are_found():
    assert "[rule play]" in embedded_text("playlets.grammar")


def test_an_installed_package_s_files_come_first(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    (tmp_path / "embedded").mkdir()
    (tmp_path / "embedded" / "playlets.grammar").write_bytes(b"installed\r\n")
    monkeypatch.setattr(embedded, "files", lambda _: tmp_path)
    assert embedded_text("playlets.grammar") == "installed\n"  # line ends of a Windows checkout change nothing


def test_a_missing_file_is_named():
    with pytest.raises(UserError, match=r"the embedded file none\.txt is missing"):
        embedded_file("none.txt")
