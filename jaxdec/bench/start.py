"""How long a user waits for the first step: `jaxdec train` as a process of its own, from its start to its first line in
`metrics.jsonl`, once with an empty compile cache and then with a warm one."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from jaxdec.errors import TrainingError

STEPS = 10  # one dispatch of recipe char-gpt


def bench_start(*, rounds: int) -> dict[str, Any]:
    """Seconds from process start to the first reported step: cold once, then the median of `rounds` warm starts."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        cold = seconds_to_first_step(folder, "cold")
        warm = [seconds_to_first_step(folder, f"warm-{index}") for index in range(rounds)]
    return {
        "rounds": rounds,
        "cold_seconds": round(cold, 2),
        "warm_seconds": round(statistics.median(warm), 2),
        "warm_seconds_max": round(max(warm), 2),
    }


def seconds_to_first_step(folder: Path, name: str) -> float:
    """Starts one short run of char-gpt whose cache folder is `folder`/cache. Raises TrainingError when it fails."""
    metrics = folder / name / "metrics.jsonl"
    flags = ("--train.steps", STEPS, "--optim.warmup-steps", 1, "--out", folder / name)
    command = [sys.executable, "-m", "jaxdec.cli.main", "train", "char-gpt", *map(str, flags)]
    environment = os.environ | {"JAXDEC_CACHE_DIR": str(folder / "cache")}
    started = time.perf_counter()
    with subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL) as process:
        while not (metrics.exists() and metrics.stat().st_size):
            if process.poll() is not None:
                raise TrainingError(f"the measured run ended with exit code {process.returncode} before its first step")
            time.sleep(0.01)
        seconds = time.perf_counter() - started
        process.wait()
    return seconds
