"""Trains rungs of the ladder on one corpus with the same number of tokens each, and compares their losses.

Every rung uses the learning rate of its recipe. All are scored on the same targets, each character of the validation
split once; a rung reads as many tokens before each as its context allows.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from jaxdec.config.files import whole_file, write_json
from jaxdec.config.run import DataConfig, RunConfig, TrainConfig
from jaxdec.config.yaml import differences
from jaxdec.errors import UserError, nearest
from jaxdec.models.flops import training_flops
from jaxdec.models.ladder import SMALL_MODERN
from jaxdec.recipes import load_recipe
from jaxdec.runs.directory import is_new, require_run

CLIMB = (
    "bigram",
    "single-head",
    "multi-head",
    "one-block",
    "char-decoder",
    "char-gpt",
    "moe-gpt",
    "small-modern",
)
ASIDE = ("local", "strided", "alibi", "sinks", "softcap")  # variants of char-gpt, trained when they are asked for


def rung_config(name: str, data: DataConfig, train: TrainConfig) -> RunConfig:
    """The run of a rung: its recipe's model and learning rate, on `data`, as long as `train` says."""
    if name not in (*CLIMB, *ASIDE):
        raise UserError(f"there is no rung '{name}' to train briefly{nearest(name, (*CLIMB, *ASIDE))}")
    if train.evaluate == "none":
        raise UserError("train.evaluate is none: the ladder compares validation losses, so give all")
    recipe = load_recipe("char-gpt" if name == "small-modern" else name)
    model = SMALL_MODERN if name == "small-modern" else recipe.model
    window = data.window or model.context
    stride = window if data.sweep_stride is None else min(window, data.sweep_stride)
    optim = replace(recipe.optim, warmup_steps=min(recipe.optim.warmup_steps, train.steps // 10))
    data = replace(data, sweep_stride=stride)
    return replace(recipe, model=model, data=data, optim=optim, train=train).check()


def climb(
    names: Sequence[str], data: DataConfig, train: TrainConfig, out: Path, *, from_file: Path | None
) -> list[dict[str, Any]]:
    """Trains each rung into `out`/<rung> and returns a row per rung, lowest first as they are given.

    A rung that `out` holds already is read, or continued where it was interrupted. Writes `ladder.json` and
    `ladder.png`. Raises UserError before anything is trained where a rung is unknown, cannot work, or lies in `out`
    with other settings.
    """
    configs = {name: rung_config(name, data, train) for name in names}
    for name, config in configs.items():
        require_same(out / name, config)
    rows = []
    for place, (name, config) in enumerate(configs.items(), start=1):
        print(f"\nrung {place} of {len(configs)}: {name}")
        summary = trained(config, out / name, from_file)
        vocabulary = require_run(out / name).model.vocab_size or 0
        rows.append(
            {
                "rung": name,
                "parameters": summary["parameters"],
                "flops_per_token": training_flops(config.model, vocabulary, config.window),
                "loss": summary["sweep_loss"],
                "floor": summary.get("floor"),
                "excess": summary.get("excess"),
                "seconds": summary["seconds"],
            }
        )
    result = {"corpus": data.corpus, "tokens": train.steps * train.tokens_per_step, "rungs": rows}
    write_json(out / "ladder.json", result)
    plot(result, out / "ladder.png")
    return rows


def require_same(run_dir: Path, config: RunConfig) -> None:
    """Raises UserError when `run_dir` holds anything but a run of this config."""
    if is_new(run_dir):
        return
    saved = require_run(run_dir)
    changed = differences(replace(saved, model=replace(saved.model, vocab_size=config.model.vocab_size)), config)
    if changed:
        raise UserError(f"{run_dir} holds a run with other settings ({'; '.join(changed)}): choose another --out")


def trained(config: RunConfig, run_dir: Path, from_file: Path | None) -> dict[str, Any]:
    """The summary of a run: read, or else made."""
    from jaxdec.stages.run import resume, train

    summary = read_summary(run_dir / "summary.json")
    if summary is not None:
        print(f"{run_dir} is finished already")
        return summary
    if not is_new(run_dir):
        return resume(run_dir, require_run(run_dir))
    return train(config, run_dir, from_file=from_file)


def read_summary(path: Path) -> dict[str, Any] | None:
    """What a finished run wrote; None where there is nothing, or nothing that can be read: resuming writes it anew."""
    try:
        summary = json.loads(path.read_bytes())
    except FileNotFoundError:
        return None
    except (OSError, ValueError):
        print(f"{path} cannot be read: evaluating this rung again")
        return None
    return summary if isinstance(summary, dict) and "sweep_loss" in summary else None


def plot(result: Mapping[str, Any], png: Path) -> None:
    """Bars of loss, rung by rung, and the entropy floor where it is known; written whole or not at all."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    rows = result["rungs"]
    figure = Figure(figsize=(6.4, 0.9 + 0.32 * len(rows)), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    bars = axes.barh([row["rung"] for row in rows], [row["loss"] for row in rows], color="#2f5d8c", height=0.7)
    axes.bar_label(bars, fmt="%.3f", padding=3, fontsize=8)
    floors = [row["floor"] for row in rows if row["floor"] is not None]
    if floors:
        axes.axvline(max(floors), color="black", linestyle="--", linewidth=1, label=f"entropy floor {max(floors):.3f}")
        axes.legend(loc="lower right", fontsize=8)
    axes.invert_yaxis()
    axes.spines[["top", "right"]].set_visible(False)
    axes.margins(x=0.12)
    axes.set_xlabel(f"validation loss on {result['corpus']} after {result['tokens']:,} tokens (nats per token)")
    with whole_file(png) as temporary:
        figure.savefig(temporary, format="png", dpi=120)
