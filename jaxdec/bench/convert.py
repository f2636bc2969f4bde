"""What conversion costs at real sizes: GPT-2's 124 million and 1.5 billion parameters, with random weights.

Each step is a command of its own, so that its peak memory is known. The folder to start from is written tensor by
tensor, and what comes back is compared with it, bit for bit.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
import zlib
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np

from jaxdec.config.model import DecoderConfig
from jaxdec.config.run import Precision
from jaxdec.data.tokenizers.bpe import BPETokenizer
from jaxdec.errors import UserError
from jaxdec.models.functional import Model
from jaxdec.models.ladder import LADDER
from jaxdec.weights.formats.huggingface import stored_tensors, write_folder
from jaxdec.weights.stream import LazyArray

SIZES = ("gpt2", "gpt2-xl")
VOCABULARY = 50_257
TRAINING = (
    "--data.corpus", "playlets", "--data.window", "256", "--train.tokens-per-step", "512", "--train.steps", "20",
    "--train.evaluate", "none", "--train.steps-per-dispatch", "5", "--train.microbatch", "1",
)  # fmt: skip


def bench_convert(name: str, *, train: bool, say: Callable[[str], None] = print) -> dict[str, Any]:
    """Seconds and peak memory (MB) of each step, by its name: a folder in bfloat16 made into a run in float32, with
    `train` 20 steps of training in float32 and in bfloat16, and the run made into a folder again."""
    figures: dict[str, Any] = {}
    with tempfile.TemporaryDirectory(prefix="jaxdec-bench-") as place:
        here = Path(place)
        started = time.monotonic()
        make_folder(here / "folder", name)
        figures["bytes"] = size_of(here / "folder")
        say(f"{name}: {figures['bytes'] / 1e9:.2f} GB in bfloat16, written in {time.monotonic() - started:.1f} s")
        steps = {
            "in": ("convert", "folder", "run"),
            "out": ("convert", "run", "back", "--to", "huggingface", "--dtype", "bfloat16"),
            "through": ("convert", "folder", "again", "--to", "huggingface", "--max-shard", "500MB"),
        }
        if train:
            start = ("train", "char-gpt", "--init-from", "run", *TRAINING)
            steps["train float32"] = (*start, "--out", "trained32")
            steps["train bfloat16"] = (*start, "--out", "trained16", "--precision.compute", "bfloat16")
            steps["out, trained"] = ("convert", "trained32", "trained", "--to", "huggingface")
        for step, words in steps.items():
            written = words[words.index("--out") + 1] if "--out" in words else words[2]
            figures[step] = {**measured(words, here), "bytes": size_of(here / written)}
            say(f"  {step:<16} {figures[step]['seconds']:8.1f} s {figures[step]['peak_memory_mb']:>8,} MB at the most")
            if step in ("out", "through"):
                require_same(here / "folder", here / words[2])
                shutil.rmtree(here / words[2])
    return figures


def make_folder(place: Path, name: str) -> None:
    """A Hugging Face folder of a GPT-2 with random weights in bfloat16, each tensor made when it is written."""
    rung = next((rung.config for rung in LADDER if rung.name == name and name in SIZES), None)
    if not isinstance(rung, DecoderConfig):
        raise UserError(f"there is no size {name!r}: {', '.join(SIZES)}")
    config = replace(rung, vocab_size=VOCABULARY, dropout=0.0)
    dtype = np.dtype(ml_dtypes.bfloat16)
    shapes = Model(config, Precision()).shapes()
    params = {name: LazyArray(each.shape, dtype, partial(drawn, name, each.shape)) for name, each in shapes.items()}
    place.mkdir()
    write_folder(place, params, config, BPETokenizer([bytes([byte]) for byte in range(256)]), family="gpt2")


def drawn(name: str, shape: tuple[int, ...]) -> np.ndarray:
    """The same numbers for a name at each call."""
    rng = np.random.default_rng(zlib.crc32(name.encode()))
    return (0.02 * rng.standard_normal(shape, np.float32)).astype(ml_dtypes.bfloat16)


def measured(words: Sequence[str], here: Path) -> dict[str, Any]:
    """Seconds and peak memory of a command, run in a folder. Raises UserError where it fails."""
    started = time.monotonic()
    process = subprocess.Popen(
        [sys.executable, "-m", "jaxdec.cli.main", *words], cwd=here, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    )
    assert process.stderr is not None
    said = process.stderr.read().decode()
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode != 0:
        raise UserError(f"jaxdec {' '.join(words)} ended with exit code {process.returncode}: {said.strip()[-300:]}")
    scale = 10**6 if sys.platform == "darwin" else 10**3
    return {"seconds": round(time.monotonic() - started, 1), "peak_memory_mb": round(usage.ru_maxrss / scale)}


def require_same(one: Path, other: Path) -> None:
    """Raises UserError unless two folders hold the same tensors, bit for bit."""
    ours, theirs = stored_tensors(one), stored_tensors(other)
    if ours.keys() != theirs.keys():
        raise UserError(f"{one} and {other} hold tensors of other names")
    for name, tensor in ours.items():
        a, b = tensor.read(), theirs[name].read()
        if a.dtype != b.dtype or a.shape != b.shape or not np.array_equal(a.view(np.uint16), b.view(np.uint16)):
            raise UserError(f"{name} in {other} is not what it was in {one}")


def size_of(place: Path) -> int:
    """Bytes of all files in a folder."""
    return sum(path.stat().st_size for path in place.rglob("*") if path.is_file())
