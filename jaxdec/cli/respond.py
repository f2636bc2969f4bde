"""`jaxdec respond RUN`: what a run answers to instructions, with scores where there are references."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from jaxdec.cli.flags.flags import parse
from jaxdec.cli.flags.options import json_option, option, run_argument, step_option
from jaxdec.cli.instructed import TEMPLATE_HELP, template_of
from jaxdec.config.instruct import Instruct, Template
from jaxdec.config.run import RunConfig
from jaxdec.errors import UserError
from jaxdec.runs.source import describe

if TYPE_CHECKING:
    from jaxdec.evaluation.instructions.judge import Judge
    from jaxdec.runs.loading import LoadedRun

ABOUT = """Answer instructions with a run's model. With --instruction, these alone; with --file, those of a file;
otherwise the run's test split. Where references are known, answers are scored: exact match, ROUGE-L, token F1, the
perplexity of the reference, and, with --judge, a language model behind an endpoint of OpenAI's kind, which is sent the
instructions, references and responses. Its key is read from JAXDEC_JUDGE_KEY."""
SHOWN = 3  # responses on the terminal
LABELS = {
    "exact_match": "equal to the reference",
    "rouge_l": "ROUGE-L",
    "token_f1": "token F1",
    "reference_perplexity": "perplexity of the references",
}


@dataclasses.dataclass(frozen=True)
class RespondOptions:
    run: Path | None = run_argument()
    instruction: tuple[str, ...] = option(
        (), "what to answer; give it several times for several instructions", metavar="TEXT", unset="a split"
    )
    input: str = option("", "what each --instruction is about", metavar="TEXT", unset="nothing")
    file: Path | None = option(None, "answer all entries of this file of records", metavar="FILE", unset="a split")
    split: Literal["training", "validation", "test"] = option("test", "the entries of the run's corpus to answer")
    limit: int | None = option(None, "answer this many entries, the first ones", metavar="INT", unset="all")
    template: str | None = option(None, TEMPLATE_HELP, metavar="KIND", unset="the run's")
    max_tokens: int = option(256, "tokens of a response at most")
    temperature: float = option(0.0, "0 takes the most probable token; above it responses differ by the seed")
    seed: int = option(1337, "of the random choices")
    judge: str | None = option(
        None, "base of an OpenAI-compatible endpoint that grades responses, as http://127.0.0.1:8000/v1", metavar="URL",
        unset="off",
    )  # fmt: skip
    judge_model: str | None = option(None, "the judge's model, as the endpoint calls it", metavar="NAME", unset="none")
    out: Path | None = option(None, "write responses and scores into this JSON file", metavar="FILE", unset="nowhere")
    step: int | None = step_option()
    json: bool = json_option()


def run(argv: Sequence[str]) -> dict[str, Any]:
    """Answers, prints the answers or the scores, and returns them."""
    arguments = parse("respond", RespondOptions(), argv, about=ABOUT)
    config, template = checked(arguments)
    judge = judge_of(arguments)
    from jaxdec.cli.startup import start_jax

    start_jax()
    from jaxdec.runs.loading import load_run

    assert arguments.run is not None
    loaded = load_run(arguments.run, arguments.step)
    if arguments.instruction:
        return asked(arguments, template, loaded)
    return scored(arguments, config, template, loaded, judge)


def checked(arguments: RespondOptions) -> tuple[RunConfig, Template]:
    """The run's config and the template of its prompts. Raises UserError for options that do not fit each other."""
    if arguments.run is None:
        raise UserError("give the run directory: jaxdec respond RUN")
    for name, value in (("max-tokens", arguments.max_tokens), ("limit", arguments.limit)):
        if value is not None and value < 1:
            raise UserError(f"--{name} is {value}: give a whole number from 1")
    if arguments.instruction and (arguments.file or arguments.judge or arguments.out):
        raise UserError("--instruction has no references: leave --file, --judge and --out away")
    if arguments.input and not arguments.instruction:
        raise UserError("--input belongs to an --instruction: give one")
    if arguments.out is not None and not arguments.out.expanduser().parent.is_dir():
        raise UserError(f"--out {arguments.out}: its folder does not exist; make it first")
    config = describe(arguments.run)
    template = template_of(config, arguments.template, str(arguments.run))
    if not arguments.instruction and not arguments.file and not isinstance(config.resolved_stage, Instruct):
        raise UserError(f"{arguments.run} has no split of instructions: give --instruction TEXT, or --file FILE")
    return config, template


def judge_of(arguments: RespondOptions) -> Judge | None:
    if arguments.judge is None:
        if arguments.judge_model is not None:
            raise UserError("--judge-model belongs to a --judge: give its URL")
        return None
    from jaxdec.evaluation.instructions.judge import Judge

    return Judge(arguments.judge, arguments.judge_model or "")


def asked(arguments: RespondOptions, template: Template, loaded: LoadedRun) -> dict[str, Any]:
    """The answers to --instruction."""
    from jaxdec.generation.responses import respond_to_texts
    from jaxdec.generation.sampling import Sampling

    found = respond_to_texts(
        loaded, template, arguments.instruction, input=arguments.input, max_tokens=arguments.max_tokens,
        sampling=Sampling(arguments.temperature), seed=arguments.seed,
    )  # fmt: skip
    texts = []
    for instruction, response in zip(arguments.instruction, found, strict=True):
        print(response.text if len(found) == 1 else f"> {instruction}\n{response.text}\n")
        texts.append(
            {"instruction": instruction, "input": arguments.input, "response": response.text, "ended": response.ended}
        )
    return {"step": loaded.step, "texts": texts}


def scored(
    arguments: RespondOptions, config: RunConfig, template: Template, loaded: LoadedRun, judge: Judge | None
) -> dict[str, Any]:
    """The answers to the entries of a split or a file, with their scores."""
    from jaxdec.cli.summary import show_values
    from jaxdec.evaluation.instructions.judge import judge_all
    from jaxdec.evaluation.instructions.responses import answer, entries_of, summary, write_responses
    from jaxdec.evaluation.text import make_window_losses
    from jaxdec.generation.sampling import Sampling

    entries, left_out, end = entries_of(loaded, template, arguments.file, arguments.split)
    entries = entries[: arguments.limit]
    records = answer(
        loaded.model, loaded.params, make_window_losses(loaded.model), entries, loaded.tokenizer,
        end=end, max_tokens=arguments.max_tokens, sampling=Sampling(arguments.temperature), seed=arguments.seed,
    )  # fmt: skip
    verdict = judge_all(judge, records) if judge is not None else {}
    for record in records[:SHOWN]:
        asked = f"{record['instruction']} {record['input']}".strip()
        print(f"> {asked}\n  reference  {record['reference']}\n  response   {record['response']}\n")
    split = str(arguments.file or arguments.split)
    means = summary(records)
    show_values({"responses": len(records), **{LABELS[name]: value for name, value in means.items()}})
    show_values({"judge_score": verdict.get("judge_score"), "entries too long for the model": left_out or None})
    if arguments.out is not None:
        write_responses(arguments.out.expanduser(), split, records, **verdict)
        print(f"\nwritten to {arguments.out}")
    if judge is not None and verdict["judged"] < verdict["asked"]:
        kept = f"; the other scores are in {arguments.out}" if arguments.out is not None else ""
        why = "; ".join(f"{count}: {reason}" for reason, count in verdict["unjudged"].items())
        line = f"the judge scored {verdict['judged']} of {verdict['asked']} responses ({why}){kept}"
        if not verdict["judged"]:
            raise UserError(f"{line}. Check {judge.url}")
        print(line)
    counted = {"responses": len(records), "left_out": left_out}
    return {
        "step": loaded.step,
        "split": split,
        **counted,
        **means,
        **verdict,
        "file": str(arguments.out or "") or None,
    }
