"""What it costs to keep documents apart: train steps of `joined` and of `separate` in turn, in processor time.

python scripts/documents_cost.py [--recipe char-gpt|baby-gpt] [--rounds 40] [--steps 10]
"""

from __future__ import annotations

import argparse
import statistics
import time
from dataclasses import replace

import numpy as np

from jaxdec.bench.train import jax_side
from jaxdec.config.decoder import DecoderConfig
from jaxdec.config.documents import Joined, Separate
from jaxdec.config.run import DataConfig, OptimConfig, RunConfig, TrainConfig
from jaxdec.recipes import load_recipe

SEQUENCES = {"char-gpt": 12, "baby-gpt": 8}
VOCAB_SIZE = 65
DOCUMENT = 32  # tokens, on average
START = 0


def main() -> None:
    """Measures and prints medians, their ratio and its quartiles."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--recipe", choices=tuple(SEQUENCES), default="char-gpt")
    parser.add_argument("--rounds", type=int, default=40)
    parser.add_argument("--steps", type=int, default=10, help="of a round")
    arguments = parser.parse_args()
    model = load_recipe(arguments.recipe).model
    assert isinstance(model, DecoderConfig)
    shape = (SEQUENCES[arguments.recipe], model.context)
    lines = TrainConfig(tokens_per_step=shape[0] * shape[1], steps_per_dispatch=arguments.steps)
    batches = random_batches((arguments.steps, *shape))
    runs = {}
    for documents in (Joined(), Separate(START)):
        changed = replace(model, vocab_size=VOCAB_SIZE, dropout=0.0, documents=documents)
        config = RunConfig(model=changed, data=DataConfig("random"), optim=OptimConfig(), train=lines).check()
        runs[documents.kind] = jax_side(config, batches)
    for run in runs.values():
        run(arguments.steps)  # compiles
    milliseconds: dict[str, list[float]] = {kind: [] for kind in runs}
    for turn in range(arguments.rounds):
        for kind in sorted(runs, reverse=turn % 2 == 1):
            started = time.process_time()
            runs[kind](arguments.steps)
            milliseconds[kind].append(1e3 * (time.process_time() - started) / arguments.steps)
    ratios = [b / a for a, b in zip(milliseconds["joined"], milliseconds["separate"], strict=True)]
    for kind, times in milliseconds.items():
        print(f"{kind:<9} {statistics.median(times):8.2f} ms of processor time a step")
    low, middle, high = statistics.quantiles(ratios, n=4)
    print(f"separate / joined: {middle:.3f} (quartiles {low:.3f} and {high:.3f}, {arguments.rounds} rounds)")


def random_batches(shape: tuple[int, int, int]) -> dict[str, np.ndarray]:
    """Random tokens, in which a document begins at every 32nd on average."""
    draw = np.random.default_rng(0)
    ids = draw.integers(1, VOCAB_SIZE, (*shape[:2], shape[2] + 1), dtype=np.int32)
    ids[draw.random(ids.shape) < 1 / DOCUMENT] = START
    targets = np.ascontiguousarray(ids[..., 1:])
    return {"tokens": ids[..., :-1], "targets": targets, "mask": np.ones(targets.shape, np.float32)}


if __name__ == "__main__":
    main()
