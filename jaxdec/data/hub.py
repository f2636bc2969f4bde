"""Files of a data set on the Hugging Face hub: which there are, and one of them brought to this machine.

huggingface_hub knows where they lie; they are downloaded as everything else is. $HF_ENDPOINT names another hub than
huggingface.co.
"""

from __future__ import annotations

import os
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, NamedTuple

from jaxdec.data.download import fetch

TIMEOUT = 20.0  # seconds


class HubFile(NamedTuple):
    """A file by its path in the data set."""

    path: str
    size: int
    sha256: str


class Unreachable(Exception):
    """The hub does not say which files there are; the text says why."""


def list_files(repo: str, revision: str, pattern: str) -> tuple[str, list[HubFile]]:
    """The commit that a revision is now, and its files whose paths fit the pattern, sorted. Raises Unreachable."""
    hub = _huggingface_hub()
    try:
        info = hub.HfApi(endpoint=_endpoint()).dataset_info(
            repo, revision=revision, files_metadata=True, timeout=TIMEOUT, token=False
        )
    except Exception as error:  # of its HTTP library, which is another one in each of its major versions
        raise Unreachable(" ".join(str(error).split()) or type(error).__name__) from None
    fitting = [file for file in info.siblings or [] if fnmatchcase(file.rfilename, pattern)]
    unknown = [file.rfilename for file in fitting if file.lfs is None]
    if unknown:
        raise Unreachable(f"it has no checksum of {unknown[0]}")
    files = [HubFile(file.rfilename, file.lfs.size, file.lfs.sha256) for file in fitting if file.lfs is not None]
    return str(info.sha), sorted(files)


def download(name: str, repo: str, commit: str, file: HubFile, place: Path, *, quiet: bool) -> None:
    """Puts the file at `place`, and nothing else. Raises UserError. `quiet`: without a progress bar."""
    address = _huggingface_hub().hf_hub_url(repo, file.path, repo_type="dataset", revision=commit, endpoint=_endpoint())
    ways = "Two ways: run again with a connection; or give a folder of its files with --from-file FOLDER"
    fetch(name, (address,), file.size, file.sha256, place, quiet=quiet, ways=ways)


def _endpoint() -> str | None:
    """Read at each call: huggingface_hub does so when it is imported."""
    return os.environ.get("HF_ENDPOINT") or None


def _huggingface_hub() -> Any:
    try:
        import huggingface_hub
    except ImportError:
        raise Unreachable("huggingface_hub is not installed: pip install 'jaxdec[data]'") from None
    return huggingface_hub
