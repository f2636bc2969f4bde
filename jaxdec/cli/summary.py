"""What a command shows at its end."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from jaxdec.cli.scores import show_scores, split_scores
from jaxdec.config.stages import Classify, Instruct, Pretrain, Reinforce, Translate
from jaxdec.runs.directory import require_run

SAMPLE_TOKENS = 400
SAMPLE_TRANSLATIONS = 5
LABELS = {
    "training_loss": "training loss, nanoGPT's protocol",
    "validation_loss": "validation loss, nanoGPT's protocol",
    "sweep_loss": "validation loss, complete sweep",
    "sweep_standard_error": "its standard error",
    "floor": "entropy floor",
    "excess": "excess over the floor",
    "token_accuracy": "token accuracy after the true tokens",
    "exact_match": "greedy translations that match exactly",
    "bleu": "BLEU of greedy translations",
    "greedy_accuracy": "greedy answers that are right",
    "dropped_pairs": "pairs too long for the window",
    "test_exact_match": "test responses that match exactly",
    "test_rouge_l": "their ROUGE-L",
    "test_token_f1": "their token F1",
    "test_reference_perplexity": "perplexity of the test references",
    "left_out_entries": "entries too long, left out",
    "cut_entries": "entries too long, cut",
}


def show_summary(summary: Mapping[str, Any], run_dir: Path) -> dict[str, Any]:
    """Prints a sample of the trained model and where it stands; returns the summary with the sample. A run without
    evaluation shows no sample, and neither does one of a stage that has none in `SAMPLES`."""
    config = require_run(run_dir)
    evaluates, stage = config.train.evaluate == "all", config.resolved_stage.kind
    sample = {}
    if evaluates and stage in SAMPLES:
        print("\nsample")
        sample = {"sample": SAMPLES[stage](run_dir)}
    in_nats = evaluates and config.resolved_stage.loss_unit == "nats per token"
    print("\nresult (nats per token)" if in_nats else "\nresult")
    show_values({name: value for name, value in summary.items() if name not in ("run", "corpus")})
    more = f"; {MORE[stage].format(run_dir)}" if stage in MORE else ""
    print(f"\nwritten to {run_dir}{more}")
    return {**summary, **sample}


def _generated_sample(run_dir: Path) -> str:
    from jaxdec.cli.typewriter import Typewriter
    from jaxdec.generation.generate import generate_text
    from jaxdec.generation.sampling import Sampling

    typewriter = Typewriter([""])
    (sample,) = generate_text(
        run_dir,
        [""],
        max_tokens=SAMPLE_TOKENS,
        sampling=Sampling(temperature=0.8),
        seed=0,
        on_text=typewriter.add,
    )
    typewriter.close()
    return sample


def _translated_sample(run_dir: Path) -> list[dict[str, str]]:
    """Greedy translations of some validation sources."""
    from jaxdec.data.pairs import validation_sources
    from jaxdec.evaluation.pairs import GREEDY
    from jaxdec.generation.translation import translate_text
    from jaxdec.runs.loading import load_run

    run = load_run(run_dir)
    sources = validation_sources(run.config.data, run.tokenizer, run.config.window, SAMPLE_TRANSLATIONS)
    found = [translation for translation, _ in translate_text(run, sources, GREEDY)]
    show_translations(sources, found)
    return [{"text": text, "translation": translation} for text, translation in zip(sources, found, strict=True)]


SAMPLES = {Pretrain.kind: _generated_sample, Translate.kind: _translated_sample}
MORE = {
    Pretrain.kind: "more text: jaxdec generate {} --prompt TEXT",
    Translate.kind: "more text: jaxdec translate {} --text TEXT",
    Instruct.kind: "talk to it: jaxdec chat {}",
    Reinforce.kind: "ask it more: jaxdec generate {} --prompt TEXT",
    Classify.kind: "classify texts: jaxdec classify {} TEXT",
}


def show_translations(texts: Sequence[str], translations: Sequence[str]) -> None:
    """Prints one line a text, the translations aligned."""
    width = max(map(len, texts))
    for text, translation in zip(texts, translations, strict=True):
        print(f"  {text:<{width}}  ->  {translation}")


def show_values(values: Mapping[str, Any], indent: str = "  ") -> dict[str, Any]:
    """Prints one aligned line per value, nested mappings indented, and returns `values`. The scores of a classifier
    are printed as tables."""
    scores, others = split_scores(values)
    labels = {name: LABELS.get(name, str(name).replace("_", " ")) for name in others}
    width = max(map(len, labels.values()), default=0)
    for name, value in others.items():
        if isinstance(value, Mapping):
            print(f"{indent}{name}")
            show_values(value, indent + "  ")
        elif value is not None:
            print(f"{indent}{labels[name]:<{width}}  {_shown(value)}")
    if scores:
        show_scores(scores)
    return dict(values)


def _shown(value: Any) -> str:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return str(value)
    if isinstance(value, int):
        return f"{value:,}"
    return f"{value:,.4f}" if 1e-3 <= abs(value) < 1e6 or value == 0 else f"{value:.3e}"
