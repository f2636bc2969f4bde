"""What a run is made of, by name and with checked values: tokenizers, models, settings."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from jaxdec.config.model import AnyModel
from jaxdec.config.run import DataConfig, RunConfig
from jaxdec.config.tokenizers import AnyTokenizer
from jaxdec.config.yaml import config_from_dict, config_to_dict, field_types, kind_of, variants
from jaxdec.data.tokenizers.registry import Tokenizer, train_tokenizer
from jaxdec.errors import UserError, nearest
from jaxdec.models.ladder import LADDER


def tokenizer(kind: str, text: str = "", **settings: Any) -> Tokenizer:
    """A tokenizer of a kind ("char", "words", "gpt2", "bpe", "huggingface", "sentencepiece").

    text: what its vocabulary is taken from, for the kinds that are trained ("char", "words", "bpe").
    settings: those of the kind, as `vocab_size=4000` for "bpe" or `path="tokenizer.json"` for "huggingface".
    Raises UserError for an unknown kind or setting, and where the vocabulary is not available.
    """
    known = {kind_of(cls): cls for cls in variants(field_types(DataConfig)["tokenizer"])}
    if kind not in known:
        raise UserError(f"there is no tokenizer of kind {kind!r}{nearest(kind, known)}")
    wanted = {"corpus": "text", "tokenizer": {"kind": kind, **settings}}
    config = config_from_dict({"model": {"kind": "bigram"}, "data": wanted})
    return train_tokenizer(config.data.tokenizer, text)


def settings_of(made: Tokenizer) -> AnyTokenizer:
    """The settings of a tokenizer that is there already, for the config of a run."""
    known = {kind_of(cls): cls for cls in variants(field_types(DataConfig)["tokenizer"])}
    cls = known[made.kind]
    given = {"vocab_size": made.vocab_size, "path": "tokenizer.json"}
    return cls(**{name: given[name] for name in field_types(cls)})


def model(rung: str = "char-gpt", **fields: Any) -> AnyModel:
    """The config of a model of the ladder with other values: `model(layers=2, position="rope")`.

    rung: where fields that are left out come from; `LADDER` and `jaxdec list` name them.
    fields: those of the rung's config. A part is a value (`MoE(experts=4)`), its kind ("rope"), or a mapping.
    Raises UserError for names and values that do not fit. `Model(config, Precision())` makes pure functions of it, once
    its `vocab_size` is known.
    """
    known = {each.name: each.config for each in LADDER}
    if rung not in known:
        raise UserError(f"there is no rung {rung!r}{nearest(rung, known)}")
    base = RunConfig(model=known[rung], data=DataConfig("text"))
    return with_settings(base, {f"model.{name}": value for name, value in fields.items()}).model


def with_settings(config: RunConfig, settings: Mapping[str, Any]) -> RunConfig:
    """`config` with other values by their dotted names: `{"optim.learning_rate": 3e-4, "model.position": "rope"}`.

    Raises UserError naming a setting that is unknown, with its nearest neighbour, or a value of the wrong type.
    """
    values = config_to_dict(config)
    for name, value in settings.items():
        *sections, last = name.split(".")
        node = values
        for section in sections:
            if not isinstance(node.get(section), dict):
                raise UserError(f"there is no section {section!r} in the setting {name!r}{nearest(section, node)}")
            node = node[section]
        node[last] = plain(value)
    return config_from_dict(values)


def plain(value: Any) -> Any:
    """A value of a setting as YAML would hold it: a part becomes a mapping with its kind, a tuple a list."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        kind = {"kind": kind_of(type(value))} if hasattr(value, "kind") else {}
        return kind | config_to_dict(value)
    return [plain(each) for each in value] if isinstance(value, tuple | list) else value
