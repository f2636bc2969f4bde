"""What happens once, before the first command that computes: quiet logs, and compiled programs kept between starts."""

from __future__ import annotations

import logging
import os
import warnings

from jaxdec.data.folders import cache_folder


def start_jax() -> None:
    """Prepares jax for a command. Programs compiled once are read from the cache folder by the next start."""
    # The C++ side of jax logs about devices that are not there; a user can ask for it by setting the variable.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    for name in ("absl", "orbax", "jax", "matplotlib"):
        logging.getLogger(name).setLevel(logging.ERROR)
    warnings.simplefilter("ignore", DeprecationWarning)
    # Said by the collector after a damaged checkpoint made orbax give up; the damage itself is reported by us.
    warnings.filterwarnings("ignore", "coroutine 'Store._get_array_metadatas' was never awaited", RuntimeWarning)
    import jax

    jax.config.update("jax_compilation_cache_dir", str(cache_folder() / "xla"))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
    jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)
