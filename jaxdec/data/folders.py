"""Where data lies: raw corpora in the data folder, what is derived from them in the cache folder.

Both are read from the environment at each call, so that a test or a notebook can set them at any time.
"""

from __future__ import annotations

import os
from pathlib import Path


def cache_folder() -> Path:
    """$JAXDEC_CACHE_DIR, or the user's cache folder as the platform has it (~/.cache/jaxdec on Linux)."""
    given = os.environ.get("JAXDEC_CACHE_DIR")
    if given:
        return Path(given).expanduser()
    import platformdirs

    return platformdirs.user_cache_path("jaxdec", appauthor=False)


def data_folder() -> Path:
    """$JAXDEC_DATA_DIR, or `data` in the cache folder; a corpus lies in it as <corpus>/<file>."""
    given = os.environ.get("JAXDEC_DATA_DIR")
    return Path(given).expanduser() if given else cache_folder() / "data"
