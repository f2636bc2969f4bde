"""Our scores against `lm-eval` itself: its own backend on the exported model, and our runs inside of it. Offline."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest

from jaxdec.config.tokenizers import GPT2 as GPT2Tokens
from jaxdec.data.corpora.hellaswag import CORPUS
from jaxdec.data.tokenizers.gpt2 import GPT2Tokenizer
from jaxdec.errors import UserError
from jaxdec.evaluation.suites.hellaswag import evaluate
from jaxdec.evaluation.suites.options import SuiteOptions
from jaxdec.models.functional import Model
from jaxdec.models.ladder import GPT2
from jaxdec.runs.converting import write_weights
from jaxdec.runs.loading import LoadedRun, Source
from jaxdec.runs.source import settings
from jaxdec.weights.stream import LazyArray

pytest.importorskip("lm_eval")
pytest.importorskip("transformers")
torch = pytest.importorskip("torch")

# Of the libraries behind lm-eval: what they warn of is not ours.
pytestmark = pytest.mark.filterwarnings("ignore")
HELLASWAG = CORPUS.place_of(CORPUS.others[0])
FLOAT32 = 2e-6  # relative, of a sum of some hundred log-probabilities

TASK = """task: {task}
dataset_path: json
dataset_kwargs: {{data_files: {{test: "{file}"}}}}
output_type: {kind}
test_split: test
{rest}
"""
ELEUTHER = """process_docs: !function utils.process_docs
doc_to_text: "{{query}}"
doc_to_target: "{{label}}"
doc_to_choice: "choices"
metric_list: [{metric: acc}, {metric: acc_norm}]"""
COMPLETIONS = """doc_to_text: "{{ctx}}"
doc_to_target: "{{label}}"
doc_to_choice: "endings"
metric_list: [{metric: acc}]"""
CHOICES = """doc_to_text: "{{question}}"
doc_to_target: "{{label}}"
doc_to_choice: "choices"
metric_list: [{metric: acc}, {metric: acc_norm}]"""
ANSWERS = """doc_to_text: "{{question}}"
doc_to_target: "{{answer}}"
generation_kwargs: {until: ["\\n", " the"], max_gen_toks: 12}
metric_list: [{metric: exact_match}]"""
QUESTIONS = """{"question": "The cook stirs", "choices": ["the pot.", "and waits for rain"], "label": 1, "answer": "x"}
{"question": "Two and two are", "choices": ["four", "five", "none of all these"], "label": 0, "answer": "four"}
"""


@pytest.fixture(scope="module", autouse=True)
def _offline(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        for name in ("HF_HUB_OFFLINE", "HF_DATASETS_OFFLINE"):
            patch.setenv(name, "1")
        patch.setenv("HF_DATASETS_CACHE", str(tmp_path_factory.mktemp("datasets")))
        yield


@pytest.fixture(scope="module")
def tiny_gpt2(tmp_path_factory: pytest.TempPathFactory) -> tuple[LoadedRun, Path]:
    """A random GPT-2 of one layer with the real vocabulary, and what `jaxdec convert` writes of it."""
    try:
        tokenizer = GPT2Tokenizer()
    except UserError as error:
        pytest.skip(str(error))
    config = settings(replace(GPT2, layers=1, heads=2, width=16, context=128, init_std=0.3), GPT2Tokens())
    model = Model(config.model, config.precision)
    params = model.init(jax.random.key(0))
    arrays = {
        name: LazyArray(param.shape, np.dtype(param.dtype), partial(np.asarray, param))
        for name, param in params.items()
    }
    source = Source(config, model, tokenizer, 0, arrays, lambda _: params)
    exported = tmp_path_factory.mktemp("gpt2") / "exported"
    write_weights(source, exported, "huggingface", family="gpt2", max_shard=10**9, figures={})
    return LoadedRun(config, model, params, tokenizer, 0), exported


def harness(model: Any, folder: Path, tasks: dict[str, str], file: Path, **options: Any) -> dict[str, Any]:
    """Runs lm-eval on tasks that are written to a folder: its results and samples."""
    import datasets
    import lm_eval
    from lm_eval.tasks import TaskManager

    datasets.disable_progress_bars()
    folder.mkdir(exist_ok=True)
    (folder / "utils.py").write_text("from lm_eval.tasks.hellaswag.utils import process_docs  # noqa\n")
    for name, rest in tasks.items():
        kind = "generate_until" if "generation_kwargs" in rest else "multiple_choice"
        text = TASK.format(task=name, file=file, kind=kind, rest=rest)
        (folder / f"{name}.yaml").write_text(text, encoding="utf-8")
    manager = TaskManager(include_path=str(folder), include_defaults=False)
    found = lm_eval.simple_evaluate(
        model, tasks=list(tasks), task_manager=manager, bootstrap_iters=0, log_samples=True, **options
    )
    assert found is not None
    return found  # type: ignore[return-value]


def logprobs(found: dict[str, Any], task: str) -> list[list[float]]:
    return [[score[0] for score in sample["filtered_resps"]] for sample in found["samples"][task]]


def compare_hellaswag(run: LoadedRun, exported: Path, folder: Path, limit: int) -> None:
    """Every log-probability to float32 rounding, every choice and every accuracy equal."""
    theirs = harness(
        "hf", folder, {"hs_eleuther": ELEUTHER, "hs_completions": COMPLETIONS}, HELLASWAG,
        model_args={"pretrained": str(exported), "dtype": "float32"}, device="cpu", batch_size=8, limit=limit,
    )  # fmt: skip
    ours = evaluate(run, SuiteOptions(file=HELLASWAG, limit=limit, examples=True))
    assert ours["questions"] == limit == len(ours["examples"])
    for style, task in (("Eleuther", "hs_eleuther"), ("llm.c", "hs_completions")):
        mine = np.array([example[style]["logprobs"] for example in ours["examples"]])
        other = np.array(logprobs(theirs, task))
        np.testing.assert_allclose(mine, other, rtol=FLOAT32)
        np.testing.assert_array_equal(mine.argmax(axis=1), other.argmax(axis=1))
    found = theirs["results"]["hs_eleuther"]
    assert ours["Eleuther"]["acc"] == pytest.approx(found["acc,none"])
    assert ours["Eleuther"]["acc_norm_by_characters"] == pytest.approx(found["acc_norm,none"])
    assert ours["llm.c"]["acc"] == pytest.approx(theirs["results"]["hs_completions"]["acc,none"])
    tokens = np.array([example["llm.c"]["tokens"] for example in ours["examples"]])
    labels = np.array([example["llm.c"]["label"] for example in ours["examples"]])
    best = (np.array(logprobs(theirs, "hs_completions")) / tokens).argmax(axis=1)
    assert ours["llm.c"]["acc_norm_by_tokens"] == pytest.approx((best == labels).mean())


@pytest.mark.skipif(not HELLASWAG.exists(), reason="the rows of HellaSwag are not in JAXDEC_DATA_DIR")
def test_hellaswag_equals_lm_eval(tiny_gpt2: tuple[LoadedRun, Path], tmp_path: Path) -> None:
    compare_hellaswag(tiny_gpt2[0], tiny_gpt2[1], tmp_path / "tasks", limit=3)


@pytest.mark.long
@pytest.mark.skipif(not HELLASWAG.exists(), reason="the rows of HellaSwag are not in JAXDEC_DATA_DIR")
def test_hellaswag_equals_lm_eval_on_all_rows(tiny_gpt2: tuple[LoadedRun, Path], tmp_path: Path) -> None:
    compare_hellaswag(tiny_gpt2[0], tiny_gpt2[1], tmp_path / "tasks", limit=1000)


def test_lm_eval_runs_on_a_run_of_ours(tiny_gpt2: tuple[LoadedRun, Path], tmp_path: Path) -> None:
    """Choices of the model `jaxdec` are those of our suite; answers end before the first stop string."""
    import jaxdec.evaluation.lm_eval.adapter  # noqa: F401  (registers the model)
    from jaxdec.evaluation.suites.registry import run_suites

    file, run = tmp_path / "questions.jsonl", tiny_gpt2[0]
    file.write_text(QUESTIONS, encoding="utf-8")
    tasks = {"own_choices": CHOICES, "own_answers": ANSWERS}
    found = harness("jaxdec", tmp_path / "tasks", tasks, file, model_args={"run": str(tiny_gpt2[1])})
    suite = run_suites(run, ["choices"], SuiteOptions(file=file, examples=True))["choices"]
    for example, ours in zip(suite["examples"], logprobs(found, "own_choices"), strict=True):
        np.testing.assert_allclose(example["logprobs"], ours, rtol=FLOAT32)
    assert suite["acc"] == pytest.approx(found["results"]["own_choices"]["acc,none"])
    answers = [sample["filtered_resps"][0] for sample in found["samples"]["own_answers"]]
    assert len(answers) == 2 and all(answer and " the" not in answer and "\n" not in answer for answer in answers)


@pytest.mark.long
def test_the_adapter_equals_lm_evals_own_backend(tiny_gpt2: tuple[LoadedRun, Path], tmp_path: Path) -> None:
    """Choices, answers, whole texts and pairs, on the same exported folder."""
    from lm_eval.api.instance import Instance
    from lm_eval.models.huggingface import HFLM

    from jaxdec.evaluation.lm_eval.adapter import JaxdecLM

    file = tmp_path / "questions.jsonl"
    file.write_text(QUESTIONS, encoding="utf-8")
    tasks = {"own_choices": CHOICES, "own_answers": ANSWERS}
    model, hf = JaxdecLM(tiny_gpt2[0]), HFLM(str(tiny_gpt2[1]), device="cpu", dtype="float32")
    mine, theirs = (harness(each, tmp_path / "tasks", tasks, file) for each in (model, hf))
    for ours, other in zip(logprobs(mine, "own_choices"), logprobs(theirs, "own_choices"), strict=True):
        np.testing.assert_allclose(ours, other, rtol=FLOAT32)
    answers = [[sample["filtered_resps"][0] for sample in each["samples"]["own_answers"]] for each in (mine, theirs)]
    assert answers[0] == answers[1]
    texts = ["a word " * 200, "short", ""]  # longer than the context of 128: several windows
    asked = [Instance("loglikelihood_rolling", {}, (text,), index) for index, text in enumerate(texts)]
    np.testing.assert_allclose(model.loglikelihood_rolling(asked), hf.loglikelihood_rolling(asked), rtol=FLOAT32)
    pairs = [Instance("loglikelihood", {}, pair, 0) for pair in (("", " a word"), ("word " * 150, "the end"))]
    for ours, other in zip(model.loglikelihood(pairs), hf.loglikelihood(pairs), strict=True):
        assert ours[0] == pytest.approx(other[0], rel=FLOAT32) and ours[1] == other[1]


def test_settings_of_lm_eval_that_we_do_not_know_are_refused(char_run: LoadedRun) -> None:
    from lm_eval.api.instance import Instance

    from jaxdec.evaluation.lm_eval.adapter import JaxdecLM

    model = JaxdecLM(char_run)
    with pytest.raises(UserError, match="num_beams"):
        model.generate_until([Instance("generate_until", {}, ("so", {"num_beams": 4}), 0)])
    sampled = {"do_sample": True, "temperature": 1.0, "max_gen_toks": 5, "until": "."}
    (answer,) = model.generate_until([Instance("generate_until", {}, ("so that", sampled), 0)])
    assert len(answer) <= 5 and "." not in answer
    classifier = replace(char_run, config=replace(char_run.config, model=replace(char_run.config.model, classes=2)))
    with pytest.raises(UserError, match="classifier"):
        JaxdecLM(classifier)
