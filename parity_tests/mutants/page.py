"""The tables of docs/certificate.md: what was measured takes their place between the marks, and the prose stays."""

from __future__ import annotations

import re
from collections.abc import Sequence

from jaxdec.errors import UserError
from jaxdec.parity.certificate.certificate import Certificate, figures
from jaxdec.parity.certificate.table import bug_table, harmless_table, table
from jaxdec.parity.certificate.trial import KL_TOLERANCE, MutantTrial


def filled(page: str, certificate: Certificate, own: int) -> str:
    """The page with new tables. `own` is how many of the bugs are in our code; the others are generic.

    Raises UserError where a table's marks, `<!-- NAME -->` and `<!-- end of NAME -->`, are not in the page once.
    """
    tables = {
        "figures": figure_table(certificate, own),
        "stages": stage_table(certificate.bugs),
        "harmless changes": harmless_table(certificate.harmless),
        "bugs": bug_table(certificate.bugs),
    }
    for name, content in tables.items():
        begin, end = f"<!-- {name} -->\n", f"<!-- end of {name} -->"
        if not page.count(begin) == page.count(end) == 1:
            raise UserError(f"the page has no place for the table '{name}': put it between {begin.strip()} and {end}")
        pattern = re.escape(begin) + ".*?" + re.escape(end)
        page = re.sub(pattern, lambda found, new=begin + content + end: new, page, flags=re.DOTALL)
    return page


def figure_table(certificate: Certificate, own: int) -> str:
    found = figures(certificate.bugs, certificate.harmless)
    bugs = found["bugs"]
    rows = [
        ["bugs seeded", f"{bugs}: {own} in our own code, {bugs - own} generic ones in `{certificate.pair}`"],
        ["caught in float64", f"**{found['caught']} of {bugs}**"],
        ["named in the right place", f"**{found['located']} of {bugs}**"],
        ["caught by allclose of float32 logits", f"{found['caught_by_allclose']} of {bugs}"],
        [f"caught by a KL divergence below {KL_TOLERANCE}", f"{found['caught_by_kl']} of {bugs}"],
        ["harmless changes taken for a bug", f"{found['equivalent_caught']} of {found['equivalent']}"],
    ]
    return table(["", ""], rows)


def stage_table(bugs: Sequence[MutantTrial]) -> str:
    """How many bugs each stage caught first, the most telling one first."""
    rows = []
    for stage in dict.fromkeys(trial.stage for trial in bugs):
        caught = [trial for trial in bugs if trial.stage == stage]
        seen = (sum(bool(trial.allclose) for trial in caught), sum(bool(trial.kl) for trial in caught))
        rows.append([stage or "not caught", str(len(caught)), *map(str, seen)])
    rows.sort(key=lambda row: -int(row[1]))
    return table(["caught by", "bugs", "of these by allclose", "by KL"], rows)
