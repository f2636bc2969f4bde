"""The tokenizer of GPT-2 (Radford et al. 2019, section 2.2): tiktoken's, from its two files, which are fetched once."""

from __future__ import annotations

import functools
import hashlib
import http.client
import os
import tempfile
import urllib.request
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Self

from jaxdec.config.tokenizers import GPT2
from jaxdec.data.files import read_bytes, sha256, write_whole
from jaxdec.data.tokenizers.bytes import ByteTokenizer
from jaxdec.errors import UserError

if TYPE_CHECKING:
    from tiktoken import Encoding

TIMEOUT = 5.0  # seconds; tiktoken's own download has none
ADDRESS = "https://openaipublic.blob.core.windows.net/gpt-2/encodings/main/"
FILES = {  # name: (bytes, sha256)
    "vocab.bpe": (456_318, "1ce1664773c50f3e0cc8842619a93edc4624525b728b188a9e0be33b7726adc5"),
    "encoder.json": (1_042_301, "196139668be63f3b5d6574427317ae82f612a97c5d1cdaf36ed2256dbf636783"),
}


class GPT2Tokenizer(ByteTokenizer):
    """50,257 tokens: 256 bytes, 50,000 merges, <|endoftext|>.

    The map is known by the checksums of tiktoken's files and is not copied into runs. Raises UserError where the files
    are neither in tiktoken's cache folder nor within reach.
    """

    kind: ClassVar[str] = "gpt2"

    def __init__(self) -> None:
        self.encoding = _encoding()

    @classmethod
    def from_settings(cls, settings: GPT2, texts: Iterable[str] | None) -> Self:
        return cls()

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Self:
        return cls()

    def _map(self) -> dict[str, Any]:
        return {"name": "gpt2", "files": {name: checksum for name, (_, checksum) in FILES.items()}}


@functools.lru_cache(maxsize=1)
def _encoding() -> Encoding:
    folder = cache_folder()
    for name, (size, checksum) in FILES.items():
        # As tiktoken names the files of its cache. It would delete a wrong one; what is the user's stays the user's.
        place = folder / hashlib.sha1((ADDRESS + name).encode(), usedforsecurity=False).hexdigest()
        if not place.exists():
            _fetch(name, size, checksum, place)
        elif sha256(read_bytes(place, f"GPT-2's {name} in")) != checksum:
            raise UserError(f"{place} is not GPT-2's {name}: it does not fit its checksum. Delete it, or put it right")
    import tiktoken

    return tiktoken.get_encoding("gpt2")


def cache_folder() -> Path:
    """tiktoken's: $TIKTOKEN_CACHE_DIR, $DATA_GYM_CACHE_DIR, or a folder of the temporary ones."""
    for variable in ("TIKTOKEN_CACHE_DIR", "DATA_GYM_CACHE_DIR"):
        given = os.environ.get(variable)
        if given == "":
            raise UserError(f"{variable} is empty, so that tiktoken keeps no files: set it to a folder, or unset it")
        if given is not None:
            return Path(given)
    return Path(tempfile.gettempdir()) / "data-gym-cache"


def _fetch(name: str, size: int, checksum: str, place: Path) -> None:
    try:
        with urllib.request.urlopen(ADDRESS + name, timeout=TIMEOUT) as response:
            content = response.read(size + 1)
        reason = None if sha256(content) == checksum else "another file came"
    except (OSError, http.client.HTTPException, ValueError) as error:
        content, reason = b"", " ".join(str(getattr(error, "reason", None) or error).split()) or type(error).__name__
    if reason is not None:
        raise UserError(
            f"GPT-2's vocabulary is not on this machine and could not be downloaded ({ADDRESS}{name}: {reason}). Two "
            f"ways: run once with a connection; or set TIKTOKEN_CACHE_DIR to a folder that holds the two files as "
            f"tiktoken names them (here {place} is missing)"
        )
    write_whole(place, content, f"GPT-2's {name}")
