"""How fast a large text becomes token shards, beside what tiktoken alone reaches on the same cores, and with how much
memory: `jaxdec prepare` as a process of its own, from its start to its end, and tiktoken on text that is in memory."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import sysconfig
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import cycle
from pathlib import Path
from typing import Any

from jaxdec.data.folders import data_folder
from jaxdec.errors import TrainingError, UserError

PIECE = 2**20  # characters that tiktoken is given at once
BATCH = 64  # pieces that are in memory at once
SUFFIXES = (".txt", ".json", ".jsonl", ".py", ".rst", ".md")

# Runs a command and prints the processor seconds and the peak memory of it. A small process in between: on Linux the
# peak of a process begins with the size of the one that starts it.
LAUNCH = """
import json, os, sys
pid = os.posix_spawn(sys.argv[1], sys.argv[1:], os.environ)
_, status, used = os.wait4(pid, 0)
print(json.dumps([used.ru_utime + used.ru_stime, used.ru_maxrss]), flush=True)
sys.exit(os.waitstatus_to_exitcode(status))
"""


def bench_prepare(*, megabytes: int, rounds: int) -> dict[str, Any]:
    """Both sides in turn on the same text of so many million bytes: medians, their ratio, and the peak memory of
    `jaxdec prepare`."""
    with tempfile.TemporaryDirectory() as scratch:
        text = Path(scratch, "text.txt")
        size = write_text(text, megabytes * 1_000_000)
        ours, raw, cpu, raw_cpu, peaks, tokens = [], [], [], [], [], []
        for index in range(rounds):
            for values, value in zip((raw, raw_cpu), raw_seconds(text), strict=True):
                values.append(value)
            measured = prepare_seconds(text, Path(scratch, f"cache-{index}"))
            for values, value in zip((ours, cpu, peaks, tokens), measured, strict=True):
                values.append(value)
    rates = {"prepare": size / 1e6 / statistics.median(ours), "tiktoken": size / 1e6 / statistics.median(raw)}
    ratios = sorted(one / other for one, other in zip(raw, ours, strict=True))
    return {
        "rounds": rounds,
        "bytes": size,
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "load": round(os.getloadavg()[0], 2),
        "tokens": tokens[0],
        "prepare_seconds": round(statistics.median(ours), 2),
        "tiktoken_seconds": round(statistics.median(raw), 2),
        "prepare_cpu_seconds": round(statistics.median(cpu), 2),
        "tiktoken_cpu_seconds": round(statistics.median(raw_cpu), 2),
        "prepare_megabytes_per_second": round(rates["prepare"], 2),
        "tiktoken_megabytes_per_second": round(rates["tiktoken"], 2),
        "ratio": round(statistics.median(ratios), 3),
        "ratio_min": round(ratios[0], 3),
        "ratio_max": round(ratios[-1], 3),
        "prepare_peak_megabytes": round(max(peaks) / 1e6),
    }


def write_text(path: Path, size: int) -> int:
    """Writes at least `size` bytes of real text: the corpora in the data folder and Python's own library, over and over
    until it is enough. The number of bytes."""
    folders = [data_folder(), Path(sysconfig.get_path("stdlib"))]
    files = [file for folder in folders for file in sorted(folder.rglob("*")) if file.suffix in SUFFIXES]
    sources = [file for file in files if file.is_file() and "site-packages" not in file.parts and file.stat().st_size]
    if not sources:
        raise UserError(f"there is no text to measure with in {folders[0]} and {folders[1]}: set JAXDEC_DATA_DIR")
    written = 0
    with path.open("w", encoding="utf-8", newline="") as file:
        for source in cycle(sources):
            text = source.read_text(encoding="utf-8", errors="ignore")
            file.write(text)
            written += len(text.encode())
            if written >= size:
                return written
    raise AssertionError("a cycle does not end")


def prepare_seconds(text: Path, cache: Path) -> tuple[float, float, int, int]:
    """Of one `jaxdec prepare` with an empty cache folder: its seconds, those of all cores together, its peak memory in
    bytes, and its tokens."""
    words = ("prepare", str(text), "--data.tokenizer.kind", "gpt2", "--json")
    command = [sys.executable, "-c", LAUNCH, sys.executable, "-m", "jaxdec.cli.main", *words]
    environment = os.environ | {"JAXDEC_CACHE_DIR": str(cache)}
    with tempfile.TemporaryFile() as told, tempfile.TemporaryFile() as errors:
        started = time.perf_counter()
        code = subprocess.run(command, env=environment, stdout=told, stderr=errors, check=False).returncode
        seconds = time.perf_counter() - started
        for file in (told, errors):
            file.seek(0)
        if code:
            lines = errors.read().decode(errors="replace").splitlines() or ["no word"]
            raise TrainingError(f"the measured prepare ended with exit code {code}: {lines[-1]}")
        *_, counted, used = told.read().splitlines()
    counts, (cpu, peak) = json.loads(counted), json.loads(used)
    unit = 1 if sys.platform == "darwin" else 1024
    return seconds, cpu, peak * unit, counts["train_tokens"] + counts["validation_tokens"]


def raw_seconds(text: Path) -> tuple[float, float]:
    """Seconds that tiktoken takes on all cores, and those of all cores together, in a process of its own; reading does
    not count."""
    program = f"from jaxdec.bench.prepare import time_tiktoken; time_tiktoken({str(text)!r})"
    done = subprocess.run([sys.executable, "-c", program], stdout=subprocess.PIPE, check=False)
    if done.returncode:
        raise TrainingError(f"tiktoken's measurement ended with exit code {done.returncode}")
    seconds, cpu = map(float, done.stdout.split())
    return seconds, cpu


def time_tiktoken(path: str) -> None:
    """Prints the seconds in which a thread per core encodes the text: `encode_to_numpy`, its fastest call."""
    from jaxdec.data.tokenizers.gpt2 import GPT2Tokenizer
    from jaxdec.data.tokens.encode import cores

    encoding = GPT2Tokenizer().encoding
    seconds = cpu = 0.0
    with ThreadPoolExecutor(cores()) as pool:
        for pieces in _batches(Path(path)):
            started, cpu_started = time.perf_counter(), time.process_time()
            list(pool.map(lambda piece: len(encoding.encode_to_numpy(piece, disallowed_special=())), pieces))
            seconds += time.perf_counter() - started
            cpu += time.process_time() - cpu_started
    print(seconds, cpu)


def _batches(path: Path) -> Iterator[list[str]]:
    """BATCH pieces at a time, cut at line ends."""
    with path.open(encoding="utf-8", newline="") as file:
        while pieces := [piece for _ in range(BATCH) if (piece := file.read(PIECE) + file.readline())]:
            yield pieces
