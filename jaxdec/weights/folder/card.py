"""The model card of an exported folder: what it is, what it was trained on, how good it is, how it was made."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from jaxdec.config.run import NO_CORPUS, RunConfig
from jaxdec.config.yaml import config_to_dict

FIGURES = {
    "sweep_loss": "validation loss, complete sweep (nats per token)",
    "validation_loss": "validation loss, nanoGPT's protocol (nats per token)",
    "training_loss": "training loss, nanoGPT's protocol (nats per token)",
    "floor": "entropy floor of the corpus (nats per token)",
    "answer_accuracy": "accuracy of certain tokens",
}
USE = """```python
from transformers import AutoModelForCausalLM, {tokenizer}

model = AutoModelForCausalLM.from_pretrained("{name}")
tokenizer = {tokenizer}.from_pretrained("{name}")
```
"""
# For these, AutoTokenizer of transformers 5 cuts text as the family's own tokenizer does, whatever tokenizer.json says.
CUT_BY_FAMILY = ("Qwen2ForCausalLM",)


def tokenizer_class(architecture: str) -> str:
    """The class of transformers that gives a folder's own ids."""
    return "PreTrainedTokenizerFast" if architecture in CUT_BY_FAMILY else "AutoTokenizer"


def model_card(
    name: str, architecture: str, config: RunConfig, parameters: int, step: int, figures: Mapping[str, Any]
) -> str:
    """README.md of a folder. `figures` are those of a run's summary.json; `architecture` the class of transformers."""
    parts = [
        f"---\nlibrary_name: transformers\npipeline_tag: text-generation\n---\n\n# {name}\n",
        f"A decoder of {parameters:,} parameters, written by `jaxdec` and stored as `{architecture}`.\n",
        "Which licence it is given out under is not stated here: say it in this file before you share it.\n",
        "## Use\n",
        USE.format(name=name, tokenizer=tokenizer_class(architecture)),
        f"```sh\njaxdec generate {name} --prompt 'Once'\n```\n",
        "## Training\n",
        _table("setting", "value", training(config, step)),
        "## Results\n",
        _table("figure", "value", results(figures)) or "No figures were recorded.\n",
        "## Model\n",
        _table("setting", "value", {key: f"`{value}`" for key, value in model_settings(config).items()}),
    ]
    return "\n".join(parts)


def training(config: RunConfig, step: int) -> dict[str, Any]:
    """What the model learned from, and for how long."""
    known = {} if config.data.corpus == NO_CORPUS else {"corpus": f"`{config.data.corpus}`"}
    start = {} if config.init_from is None else {"started from": f"`{config.init_from}`"}
    if step == 0:
        return {**known, **start, "training": "none here: the weights were converted"}
    return {
        **known,
        **start,
        "tokenizer": f"`{config.data.tokenizer.kind}`",
        "steps": f"{step:,}",
        "tokens per step": f"{config.train.tokens_per_step:,}",
        "window": f"{config.window:,} tokens",
        "learning rate": f"{config.optim.learning_rate:g}, falling to {config.optim.min_learning_rate:g}",
        "weight decay": f"{config.optim.weight_decay:g}",
        "precision": f"parameters {config.precision.params}, products {config.precision.compute}",
        "seed": config.train.seed,
    }


def results(figures: Mapping[str, Any]) -> dict[str, str]:
    """The figures that are known."""
    return {text: f"{figures[name]:.4f}" for name, text in FIGURES.items() if isinstance(figures.get(name), float)}


def model_settings(config: RunConfig) -> dict[str, Any]:
    """The settings of the model, those that are None left out."""
    return {name: value for name, value in config_to_dict(config.model).items() if value is not None}


def _table(left: str, right: str, rows: Mapping[str, Any]) -> str:
    lines = [f"| {left} | {right} |", "| --- | --- |", *(f"| {key} | {value} |" for key, value in rows.items())]
    return "\n".join(lines) + "\n" if rows else ""
