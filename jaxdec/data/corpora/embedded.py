"""Finds the small data files that come with the package.

In a checkout they lie in the top-level folder `data/`; a wheel carries the same files as `jaxdec/embedded/`.
"""

from __future__ import annotations

from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path

from jaxdec.errors import UserError


def embedded_file(name: str) -> Traversable:
    """The file `name` of `data/`, from the installed package or else from the checkout."""
    installed = files("jaxdec").joinpath("embedded", name)
    if installed.is_file():
        return installed
    checkout = Path(__file__).resolve().parents[3] / "data" / name
    if checkout.is_file():
        return checkout
    raise UserError(
        f"the embedded file {name} is missing from jaxdec: install the package again, or restore data/{name}"
    )


def embedded_text(name: str) -> str:
    """The content of an embedded UTF-8 file, with line ends as \\n on every system."""
    return embedded_file(name).read_bytes().decode("utf-8").replace("\r\n", "\n")
