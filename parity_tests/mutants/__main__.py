"""The certificate of our own code: every seeded bug of this folder in the tiny model that has the part, and the generic
bugs in `char-gpt`.

    python -m parity_tests.mutants --markdown docs/certificate.md    # minutes; puts new tables into the page
    python -m parity_tests.mutants --only router_bias_left_out       # one bug, or one kind

Exits with 1 where a bug is not caught or too few are located, and with 2 where a page has no place for the tables.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

from jaxdec.cli.parity.options import exact
from jaxdec.config.files import write_text
from jaxdec.errors import UserError

PAIR = "char-gpt"  # what the generic bugs are seeded in


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m parity_tests.mutants", description="Seed the bugs of our own code."
    )
    parser.add_argument("--only", metavar="NAME", help="one bug, or one kind of the generic ones")
    parser.add_argument("--seeds", type=int, default=5, help="honest runs, each with other weights")
    parser.add_argument("--markdown", type=Path, metavar="PAGE", help="put the tables into this page")
    given = parser.parse_args()
    try:
        with exact():
            return run(given.only, given.seeds, given.markdown)
    except UserError as error:
        print(f"parity_tests.mutants: {error}", file=sys.stderr)
        return UserError.exit_code


def run(only: str | None, seeds: int, page: Path | None) -> int:
    from jaxdec.parity.certificate.alarms import Alarms
    from jaxdec.parity.certificate.certificate import STEPS, Certificate, certify, chosen, seed_each
    from jaxdec.parity.certificate.memory import free_programs
    from jaxdec.parity.check import quiet_torch
    from jaxdec.parity.sides.stages import Sides
    from jaxdec.parity.spec import load_pair
    from parity_tests.mutants import EQUIVALENT, MUTANTS
    from parity_tests.mutants.page import filled
    from parity_tests.mutants.tiny import tiny_pair

    def say(line: str) -> None:
        print(line, flush=True)

    started = time.perf_counter()
    ours = chosen([*MUTANTS, *EQUIVALENT], only)
    if only is None or not ours:
        generic = certify(load_pair(PAIR), only=only, seeds=seeds, say=say)
        free_programs()
    else:
        generic = Certificate(PAIR, (), Alarms(0), 0.0)
    trials = list(generic.trials)
    with quiet_torch():
        for name in dict.fromkeys(mutant.pair for mutant in ours):
            trials += seed_each(Sides(tiny_pair(name), STEPS), [mutant for mutant in ours if mutant.pair == name], say)
            free_programs()
    certificate = Certificate(PAIR, tuple(trials), generic.alarms, time.perf_counter() - started)
    if page is not None:
        write_text(
            page, filled(page.read_text(encoding="utf-8"), certificate, own=sum(not each.reason for each in ours))
        )
    print(f"{certificate}\n{certificate.seconds:.0f} s")
    return 0 if certificate.complete else 1


if __name__ == "__main__":
    raise SystemExit(main())
