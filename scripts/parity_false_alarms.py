"""Runs the float64 check over many seeds on pairs without a bug, and counts what it takes for one.

    python scripts/parity_false_alarms.py --seeds 50               # every rung of the ladder
    python scripts/parity_false_alarms.py --seeds 5 char-gpt modern

Exits with 1 after a false alarm. A rung takes about a minute to compile, and then some seconds a seed.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path


def main() -> int:
    parser = argparse.ArgumentParser(description="Count false alarms of the float64 check.")
    parser.add_argument("names", nargs="*", help="pairs by name (default: every rung of the ladder)")
    parser.add_argument("--seeds", type=int, default=50)
    parser.add_argument("--steps", type=int, default=20, help="of the training runs")
    parser.add_argument("--out", type=Path, help="write the figures as JSON")
    given = parser.parse_args()

    from jaxdec.cli.parity.options import exact
    from jaxdec.parity.certificate.alarms import false_alarms
    from jaxdec.parity.check import quiet_torch

    started = time.perf_counter()
    with exact(), quiet_torch():
        alarms = false_alarms(given.names or None, given.seeds, given.steps, lambda line: print(line, flush=True))
    print(alarms)
    print(f"{time.perf_counter() - started:.0f} s")
    if given.out is not None:
        given.out.write_text(json.dumps(alarms.summary(), indent=1), encoding="utf-8")
    return 1 if alarms.wrong else 0


if __name__ == "__main__":
    raise SystemExit(main())
