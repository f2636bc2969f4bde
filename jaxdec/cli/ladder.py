"""`jaxdec ladder`: trains the small rungs on one corpus with the same number of tokens, and shows how far each gets."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from jaxdec.cli.console import lasting_console
from jaxdec.cli.flags.flags import parse
from jaxdec.cli.flags.options import from_file_option, json_option, option
from jaxdec.config.run import DataConfig, TrainConfig
from jaxdec.errors import UserError

ABOUT = """Train the rungs of the ladder, from the bigram to a GPT of four layers, on one corpus with the same number of
tokens each, and compare their losses with each other and with the entropy floor where it is known. Finished rungs in
--out are not trained again. Example:
jaxdec ladder --data.corpus tinyshakespeare --train.steps 1000 --rungs bigram,one-block,char-gpt,alibi"""

DATA = DataConfig(corpus="playlets", sweep_stride=16)
# Windows of 8, 32 and 64 tokens all divide 768; nothing is evaluated or saved before the end.
TRAIN = TrainConfig(
    steps=1000, tokens_per_step=768, log_every=250, eval_every=1_000_000, checkpoint_every=1_000_000, eval_batches=20
)


@dataclasses.dataclass(frozen=True)
class LadderOptions:
    data: DataConfig = DATA
    train: TrainConfig = TRAIN
    rungs: str | None = option(None, "the rungs to train, in this order", metavar="A,B,C", unset="8 of them")
    out: Path | None = option(None, "the folder of the runs", metavar="DIR", unset="runs/ladder-CORPUS")
    from_file: Path | None = from_file_option()
    json: bool = json_option()


def run(argv: Sequence[str]) -> dict[str, Any]:
    """Parses, trains, prints the table and returns it."""
    arguments = parse("ladder", LadderOptions(), argv, about=ABOUT)
    from jaxdec.bench.ladder import CLIMB, climb, rung_config

    names = CLIMB if arguments.rungs is None else [name for name in arguments.rungs.split(",") if name]
    if not names:
        raise UserError(f"--rungs is empty: give names, as --rungs {','.join(CLIMB[:3])}")
    for name in names:
        rung_config(name, arguments.data, arguments.train)
    out = arguments.out or Path("runs") / f"ladder-{Path(arguments.data.corpus).stem.replace(':', '-')}"
    from jaxdec.cli.startup import start_jax

    start_jax()
    with lasting_console(out / "RUNG"):
        rows = climb(list(dict.fromkeys(names)), arguments.data, arguments.train, out, from_file=arguments.from_file)
        show(rows, arguments.data.corpus, arguments.train.steps * arguments.train.tokens_per_step)
        print(f"\nwritten to {out}: a run for each rung, ladder.json, ladder.png")
    return {"corpus": arguments.data.corpus, "out": str(out), "rungs": rows}


def show(rows: Sequence[Mapping[str, Any]], corpus: str, tokens: int) -> None:
    """Prints the table: losses in nats per token, on the whole validation split."""
    from jaxdec.cli.list import in_short

    floors = [row["floor"] for row in rows if row["floor"] is not None]
    known = f", entropy floor {max(floors):.4f}" if floors else ""
    print(f"\n{corpus}, {tokens:,} tokens each{known}; losses in nats per token")
    print(f"  {'rung':<16}{'parameters':>12}{'FLOPs a token':>15}{'loss':>10}{'excess':>10}{'seconds':>10}")
    for row in rows:
        excess = "" if row["excess"] is None else f"{row['excess']:.4f}"
        sizes = f"{in_short(row['parameters'], 'KMBT'):>12}{in_short(row['flops_per_token'], 'KMGT'):>15}"
        print(f"  {row['rung']:<16}{sizes}{row['loss']:>10.4f}{excess:>10}{row['seconds']:>10.1f}")
