"""The page as a whole: its head, its sections in order, and the file."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from html import escape
from importlib.resources import files
from pathlib import Path
from typing import Any

from jaxdec.config.files import write_text
from jaxdec.config.run import RunConfig
from jaxdec.evaluation.page.curves import training_curves
from jaxdec.evaluation.page.long_range import long_range_section
from jaxdec.evaluation.page.quality import quality_section
from jaxdec.evaluation.page.tables import values_table
from jaxdec.evaluation.page.texts import texts_section
from jaxdec.evaluation.quality.health import LABELS, log_until, summary
from jaxdec.runs.directory import require_run
from jaxdec.runs.page import document, section
from jaxdec.runs.source import is_run
from jaxdec.training.reporting import wiring

OWN_SECTIONS = ("quality", "long_range")  # suites that are shown otherwise than as a table


def write_page(result: Mapping[str, Any], config: RunConfig, place: Path, path: Path) -> None:
    """Writes the page of a result of `jaxdec evaluate RUN --suite ...` to `path`, whole or not at all.

    `place`: the run, whose log up to the evaluated step gives the curves; weights have none. `config`: the settings
    that were evaluated.
    """
    log = is_run(place)
    lines = log_until(place, result["step"]) if log else []
    write_text(path, to_html(result, config, lines, require_run(place) if log else config))


def to_html(
    result: Mapping[str, Any], config: RunConfig, lines: Sequence[Mapping[str, Any]], trained: RunConfig
) -> str:
    """The page. `result`: {run, step, suites: {name: values}}; `lines`: of the log of the run, and `trained` the
    settings under which it was written."""
    style = files("jaxdec.evaluation.page").joinpath("evaluation.css").read_text(encoding="utf-8")
    return document(f"Evaluation of {result['run']}", _parts(result, config, lines, trained), style)


def _parts(
    result: Mapping[str, Any], config: RunConfig, lines: Sequence[Mapping[str, Any]], trained: RunConfig
) -> Iterator[str]:
    suites = result["suites"]
    yield _head(result, config)
    if "quality" in suites:
        yield section("Samples", texts_section(suites["quality"]))
        yield section("Quality of the text", quality_section(suites["quality"]))
    if "long_range" in suites:
        yield section("Use of a long context", long_range_section(suites["long_range"]))
    yield section("Training", training_curves(lines, trained) + _health(lines, trained))
    for name, values in suites.items():
        if name not in OWN_SECTIONS:
            yield section(f"Suite {name}", values_table(values))


def _head(result: Mapping[str, Any], config: RunConfig) -> str:
    model, step = config.model, result["step"]
    sizes = [f"width {model.width}", f"context {model.context}", f"{config.data.tokenizer.kind} tokenizer"]
    facts = f"{wiring(model)}, {', '.join(sizes)}; corpus {config.data.corpus}"
    return f"""<header>
<p class="quiet">Evaluation of a language model</p>
<h1>{escape(str(result["run"]))}</h1>
<p>step {step:,}; {escape(facts)}</p>
</header>"""


def _health(lines: Sequence[Mapping[str, Any]], config: RunConfig) -> str:
    return values_table({LABELS[name]: value for name, value in summary(lines, config).items()})
