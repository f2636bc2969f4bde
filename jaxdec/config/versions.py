"""Versions of what is installed, as runs, checkpoints and reports record them."""

from __future__ import annotations

import platform
from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, version


def versions(packages: Iterable[str]) -> dict[str, str]:
    """Package -> version, and Python's. What is not installed is left out, as is a checkout of jaxdec itself that is
    not."""
    found = {"python": platform.python_version()}
    for package in packages:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found
