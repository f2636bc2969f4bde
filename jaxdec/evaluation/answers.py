"""Evaluators of answers that can be checked: what greedy decoding makes of prompts; and the picture of a run."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import jax

from jaxdec.config.files import whole_file, write_text
from jaxdec.data.corpora.base import Problem
from jaxdec.data.problems import AskedProblems, answer_text
from jaxdec.generation.rollouts import sample_answers
from jaxdec.generation.sampling import Sampling
from jaxdec.models.functional import Model, Params
from jaxdec.runs.metrics import read_metrics
from jaxdec.training.stage import Evaluator

JUDGED = 1000  # held-out problems of an evaluation: a fixed sample
GREEDY = Sampling(temperature=0.0)
CURVES = (
    ("reward", "reward of sampled answers", {"linewidth": 0.8, "alpha": 0.6}),
    ("greedy_accuracy", "greedy answers that are right", {"linewidth": 1.6, "marker": "o", "markersize": 3}),
)


def greedy_answers(
    model: Model, params: Params, problems: AskedProblems, most: int, rows: int
) -> list[tuple[Problem, str | None]]:
    """The first JUDGED problems to be judged by, each with its greedy answer of up to `most` tokens, None where it did
    not end. They are decoded `rows` at a time, by one program."""
    judged, found = problems.validation[:JUDGED], []
    for first in range(0, len(judged), rows):
        chosen = judged[first : first + rows]
        filled = chosen + chosen[:1] * (rows - len(chosen))
        answers = sample_answers(
            model,
            params,
            [problems.prompts[problem.prompt] for problem in filled],
            most=most,
            end=problems.end,
            sampling=GREEDY,
            key=jax.random.key(0),  # nothing is drawn
        )
        found += [
            (problem, answer_text(problems, answer.tokens)) for problem, answer in zip(chosen, answers, strict=False)
        ]
    return found


def greedy_accuracy(model: Model, problems: AskedProblems, most: int, rows: int) -> Evaluator:
    """Yields `greedy_accuracy`: the share of greedy answers that are right, all of it."""

    def evaluate(params: Params) -> Iterator[tuple[str, float]]:
        found = greedy_answers(model, params, problems, most, rows)
        yield "greedy_accuracy", sum(text == problem.answer for problem, text in found) / len(found)

    return evaluate


def write_answers(found: list[tuple[Problem, str | None]], path: Path) -> None:
    """A line of JSON for each problem: prompt, answer (what the model wrote; null where it did not end), right."""
    rows = [{"prompt": problem.prompt, "answer": text, "right": problem.answer} for problem, text in found]
    write_text(path, "".join(json.dumps(row) + "\n" for row in rows))


def plot_rewards(metrics_jsonl: Path, png: Path) -> None:
    """Draws what `metrics_jsonl` says of rewards, and below it the divergence from the start, into `png`."""
    # The object interface: pyplot would choose a backend for the whole process.
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    lines = list(read_metrics(metrics_jsonl))
    figure = Figure(figsize=(7, 5.2), layout="constrained")
    FigureCanvasAgg(figure)
    above, below = figure.subplots(2, 1, sharex=True, height_ratios=(2, 1))
    for name, label, style in CURVES:
        points = [(line["step"], line[name]) for line in lines if line.get(name) is not None]
        if points:
            above.plot(*zip(*points, strict=True), label=label, **style)
    points = [(line["step"], line["kl"]) for line in lines if line.get("kl") is not None]
    if points:
        below.plot(*zip(*points, strict=True), color="tab:green", linewidth=1)
    above.set_ylim(-0.02, 1.02)
    above.set_ylabel("share, or mean reward")
    below.set_ylabel("KL from the start\n(nats per token)")
    below.set_xlabel("step")
    for axes in (above, below):
        axes.grid(alpha=0.3)
    if above.get_legend_handles_labels()[0]:
        above.legend()
    with whole_file(png) as temporary:
        figure.savefig(temporary, format="png", dpi=120)
