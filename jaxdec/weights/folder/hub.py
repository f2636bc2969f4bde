"""Models on Hugging Face's hub by id: `openai-community/gpt2`, `gpt2-xl`, `OWNER/NAME@REVISION`.

`huggingface_hub` (the extra `huggingface`) downloads and keeps the files; only those that are needed are fetched, and
no pickle where there are safetensors. Without a connection, what was fetched before is used.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

from jaxdec.errors import UserError

NAMES = {name: f"openai-community/{name}" for name in ("gpt2", "gpt2-medium", "gpt2-large", "gpt2-xl")}
ID = re.compile(r"(?P<id>[A-Za-z0-9][\w.-]*/[\w][\w.-]*)(@(?P<revision>[\w./-]+))?")
SMALL = (
    "config.json", "generation_config.json", "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json",
    "vocab.json", "merges.txt", "tokenizer.model",
)  # fmt: skip
SAFE = ("model.safetensors", "model.safetensors.index.json", "model-*-of-*.safetensors")
PICKLED = ("pytorch_model.bin", "pytorch_model.bin.index.json", "pytorch_model-*-of-*.bin")


def local_place(given: Path | str) -> Path:
    """The folder or file that is meant: a path that exists, or else a hub id, whose files are fetched where they are
    not there yet. Raises UserError where it is neither, and where the hub cannot be reached."""
    path = Path(given).expanduser()
    if path.exists() or not is_hub_id(str(given)):
        return path
    return fetch(str(given))


def is_hub_id(text: str) -> bool:
    """Whether a text that is no path reads as a hub id: OWNER/NAME, or one of GPT-2's four sizes. `runs/NAME` is a run
    directory that is not there."""
    return text.partition("@")[0] in NAMES or (ID.fullmatch(text) is not None and not text.startswith("runs/"))


def fetch(text: str) -> Path:
    """The folder with the files of a hub id, which are downloaded where they are not there yet. Raises UserError."""
    name, _, revision = text.partition("@")
    name = NAMES.get(name, name)
    try:
        from huggingface_hub import HfApi, snapshot_download
    except ImportError:
        raise UserError(
            f"there is no file or folder {text}; to fetch it as a hub id: pip install 'jaxdec[huggingface]'"
        ) from None
    kept = _kept(name, revision or None)
    if _offline():
        return _found(kept, text, "HF_HUB_OFFLINE is set")
    with _explained(text) as problem:
        info = HfApi().model_info(name, revision=revision or None, timeout=20)
        files = [each.rfilename for each in info.siblings or ()]
        wanted = needed(files)
        if not any(fnmatch(file, pattern) for file in wanted for pattern in (*SAFE, *PICKLED)):
            raise UserError(f"{text} has no weights that can be read ({SAFE[0]} or {PICKLED[0]}): choose another id")
        return Path(snapshot_download(name, revision=revision or None, allow_patterns=wanted))
    return _found(kept, text, problem[0])


def needed(files: Sequence[str]) -> list[str]:
    """Of the files of a repository, those that a model is made of.

    >>> needed(["config.json", "model.safetensors", "pytorch_model.bin", "tf_model.h5", "onnx/model.onnx"])
    ['config.json', 'model.safetensors']
    """
    safe = [file for file in files if any(fnmatch(file, pattern) for pattern in SAFE)]
    pickled = [file for file in files if any(fnmatch(file, pattern) for pattern in PICKLED)]
    whole = [file for file in safe or pickled if file in (SAFE[0], PICKLED[0])]  # some repositories have it twice
    return [file for file in files if file in SMALL] + (whole or safe or pickled)


def _offline() -> bool:
    return os.environ.get("HF_HUB_OFFLINE", "").upper() in ("1", "ON", "YES", "TRUE")


def _kept(name: str, revision: str | None) -> Path | None:
    """The folder of an earlier download, where there is one."""
    from huggingface_hub import snapshot_download

    try:
        folder = Path(snapshot_download(name, revision=revision, local_files_only=True))
    except Exception as error:  # the library has many ways to say that there is none; one is that files are left out
        partly = getattr(error, "snapshot_path", None)
        if partly is None:
            return None
        folder = Path(partly)
    files = [path.name for path in folder.iterdir()]
    return folder if "config.json" in files and len(needed(files)) > len(set(files) & set(SMALL)) else None


def _found(kept: Path | None, text: str, reason: str) -> Path:
    if kept is not None:
        return kept
    name = text.partition("@")[0]
    raise UserError(
        f"there is no file or folder {text} here, and as a hub id it could not be fetched ({reason}): fetch its "
        f"files where there is a connection, with 'hf download {NAMES.get(name, name)} --local-dir FOLDER', and give "
        "that folder"
    )


@contextmanager
def _explained(text: str) -> Iterator[list[str]]:
    """Turns what the library raises into one line. Where the hub cannot be reached, the block is left, and the reason
    is in the list."""
    from huggingface_hub.errors import GatedRepoError, RepositoryNotFoundError, RevisionNotFoundError

    problem: list[str] = []
    try:
        yield problem
    except UserError:
        raise
    except GatedRepoError:
        raise UserError(
            f"{text} is given out on request alone: ask for it on the hub and run 'hf auth login'"
        ) from None
    except RevisionNotFoundError:
        raise UserError(f"{text.partition('@')[0]} has no revision {text.partition('@')[2]!r} on the hub") from None
    except RepositoryNotFoundError:
        raise UserError(f"there is no file or folder {text}, and the hub has no model of this id") from None
    except Exception as error:  # of the connection, of the operating system, or the library's own
        problem.append(_line(error))


def _line(error: Any) -> str:
    text = " ".join(str(error).split())
    return (text if len(text) <= 160 else f"{text[:157]}...") or type(error).__name__
