"""The whole chain on embedded data: pretrain, then classify; and instruct, prefer, evaluate, export.

    python scripts/chain.py [--steps N] [--out DIR]

Runs the commands that it prints, one after the other, and ends with what each link has reached and where its files are.
Measured on two cores: 121 seconds, 182 of processor time. `--steps` trains so many steps in every link, to see that all
of them fit together; the figures are meaningless then.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

Values = Mapping[str, Any]
TOKENS = 2048  # of a step


class Link(NamedTuple):
    """A command of `jaxdec`, which writes `folder`, and its result in words. `steps`: of a training."""

    name: str
    folder: str
    command: str
    says: Callable[[Values], str]
    steps: int | None = None


LINKS = (
    Link(
        "pretrain", "pretrained",
        "train char-gpt --data.corpus playlets --data.sweep-stride None --data.tokenizer bpe "
        f"--data.tokenizer.vocab-size 1000 --model.context 128 --train.tokens-per-step {TOKENS} --out {{pretrained}}",
        lambda found: f"validation loss {found['sweep_loss']:.3f} nats per byte pair on playlets",
        200,
    ),
    Link(
        "classify", "classifier",
        f"train spam --data.corpus embedded --init-from {{pretrained}} --data.window 64 "
        f"--train.tokens-per-step {TOKENS} --out {{classifier}}",
        lambda found: f"test accuracy {found['test_accuracy']:.1%}",
        60,
    ),
    Link(
        "instruct", "instructed",
        "train instruct --init-from {pretrained} --stage.template phi3 "
        f"--train.tokens-per-step {TOKENS} --out {{instructed}}",
        lambda found: f"validation loss {found['sweep_loss']:.3f} nats per token of a response",
        150,
    ),
    Link(
        "prefer", "preferred",
        "train preference --init-from {instructed} --stage.template phi3 "
        f"--train.tokens-per-step {TOKENS} --out {{preferred}}",
        lambda found: f"friendly answers win in {found['test_reward_accuracy']:.0%} of the unseen pairs, by "
        f"{found['test_margin']:.2f} on average",
        40,
    ),
    Link(
        "evaluate", "preferred",
        "evaluate {preferred} --suite loss --data.corpus playlets",
        lambda found: f"{found['suites']['loss']['loss']:.3f} nats per byte pair on playlets, now forgotten",
    ),
    Link(
        "export", "exported",
        "convert {preferred} {exported} --to huggingface",
        lambda found: f"a Hugging Face folder of {found['parameters']:,} parameters, as {found['layout']}",
    ),
)  # fmt: skip


def main() -> None:
    """Runs all links. Ends with the exit code of the first that fails, and what it said."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--steps", type=int, help="train so many steps in every link, to see that they fit together")
    parser.add_argument("--out", type=Path, default=Path("runs/chain"), help="a folder that must not exist")
    arguments = parser.parse_args()
    if arguments.out.exists():
        sys.exit(f"chain: {arguments.out} exists already: choose another --out")
    started, lines = time.monotonic(), []
    for link in LINKS:
        before = time.monotonic(), processor_seconds()
        said = link.says(run(link, arguments.out, arguments.steps))
        seconds, work = time.monotonic() - before[0], processor_seconds() - before[1]
        lines.append(f"{link.name:<9} {said}\n{'':<9} {arguments.out / link.folder}")
        print(f"  {said} ({seconds:.0f} s, {work:.0f} s of processor time)", flush=True)
    print("\n" + "\n".join(lines))
    print(f"\n{time.monotonic() - started:.0f} s, {processor_seconds():.0f} s of processor time")


def processor_seconds() -> float:
    """What the commands that have ended have worked, on all cores."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def run(link: Link, out: Path, steps: int | None) -> Values:
    """Prints and runs the command of a link; its output goes to a file beside its folder. Returns what it found."""
    folders = {each.folder: str(out / each.folder) for each in LINKS}
    words = link.command.format(**folders).split()
    if link.steps is not None:
        words += ["--train.steps", str(min(steps or link.steps, link.steps))]
    print(f"$ jaxdec {' '.join(words)}", flush=True)
    out.mkdir(parents=True, exist_ok=True)
    with (out / f"{link.name}.log").open("w") as log:
        done = subprocess.run(
            [sys.executable, "-m", "jaxdec.cli.main", *words, "--json"], stdout=subprocess.PIPE, stderr=log, text=True
        )
        log.write(done.stdout)
    if done.returncode:
        sys.stderr.write((out / f"{link.name}.log").read_text())
        sys.exit(done.returncode)
    return json.loads(done.stdout.splitlines()[-1])


if __name__ == "__main__":
    main()
