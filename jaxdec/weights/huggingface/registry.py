"""Decoders of Hugging Face's transformers as our models, and back: configs, weights and taps, family by family.

`config_of` gives the model that computes the same function, `rules_of` the table (`jaxdec.weights.rules`) that carries
its weights over. Both read a transformers config object, or a dict as in `config.json`: transformers need not be
installed. Dropout is left out: it is a choice of a training run (`dataclasses.replace(config, dropout=...)`).
`hf_config_of` and `to_huggingface` are the way back.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from jaxdec.config.model import DecoderConfig
from jaxdec.errors import UserError, nearest
from jaxdec.weights.huggingface.arcee import ARCEE
from jaxdec.weights.huggingface.codegen import CODEGEN
from jaxdec.weights.huggingface.cohere import COHERE
from jaxdec.weights.huggingface.cohere2 import COHERE2
from jaxdec.weights.huggingface.exaone4 import EXAONE4
from jaxdec.weights.huggingface.falcon import FALCON
from jaxdec.weights.huggingface.family import Family, Inexpressible
from jaxdec.weights.huggingface.flex_olmo import FLEX_OLMO
from jaxdec.weights.huggingface.function import first_difference
from jaxdec.weights.huggingface.gemma import GEMMA
from jaxdec.weights.huggingface.gemma2 import GEMMA2
from jaxdec.weights.huggingface.gemma3 import GEMMA3_TEXT
from jaxdec.weights.huggingface.gpt2 import GPT2
from jaxdec.weights.huggingface.gpt_bigcode import GPT_BIGCODE
from jaxdec.weights.huggingface.gpt_neo import GPT_NEO
from jaxdec.weights.huggingface.gpt_neox import GPT_NEOX
from jaxdec.weights.huggingface.gpt_oss import GPT_OSS
from jaxdec.weights.huggingface.gptj import GPTJ
from jaxdec.weights.huggingface.granite import GRANITE
from jaxdec.weights.huggingface.granitemoe import GRANITEMOE, GRANITEMOESHARED
from jaxdec.weights.huggingface.llama import LLAMA
from jaxdec.weights.huggingface.ministral import MINISTRAL
from jaxdec.weights.huggingface.mistral import MISTRAL
from jaxdec.weights.huggingface.mixtral import MIXTRAL
from jaxdec.weights.huggingface.mpt import MPT
from jaxdec.weights.huggingface.nemotron import NEMOTRON
from jaxdec.weights.huggingface.olmo import OLMO
from jaxdec.weights.huggingface.olmo2 import OLMO2
from jaxdec.weights.huggingface.olmo3 import OLMO3
from jaxdec.weights.huggingface.olmoe import OLMOE
from jaxdec.weights.huggingface.opt import OPT
from jaxdec.weights.huggingface.outer import OUTER, renamed
from jaxdec.weights.huggingface.phi import PHI
from jaxdec.weights.huggingface.phi3 import PHI3
from jaxdec.weights.huggingface.qwen2 import QWEN2
from jaxdec.weights.huggingface.qwen2_moe import QWEN2_MOE
from jaxdec.weights.huggingface.qwen3 import QWEN3
from jaxdec.weights.huggingface.qwen3_moe import QWEN3_MOE
from jaxdec.weights.huggingface.seed_oss import SEED_OSS
from jaxdec.weights.huggingface.settings import HFSettings
from jaxdec.weights.huggingface.smollm3 import SMOLLM3
from jaxdec.weights.huggingface.stablelm import STABLELM
from jaxdec.weights.huggingface.starcoder2 import STARCODER2
from jaxdec.weights.huggingface.tables import rule_lines
from jaxdec.weights.huggingface.vaultgemma import VAULTGEMMA
from jaxdec.weights.rules import WeightRules

# Where several fit a model, the first one is written.
FAMILIES: Mapping[str, Family] = {
    family.model_type: family
    for family in (
        GPT2,
        GPT_BIGCODE,
        OPT,
        GPT_NEO,
        MPT,
        GPTJ,
        CODEGEN,
        GPT_NEOX,
        FALCON,
        LLAMA,
        MISTRAL,
        MIXTRAL,
        QWEN2,
        QWEN2_MOE,
        QWEN3,
        QWEN3_MOE,
        GEMMA,
        GEMMA2,
        GEMMA3_TEXT,
        VAULTGEMMA,
        GPT_OSS,
        PHI,
        PHI3,
        STABLELM,
        STARCODER2,
        COHERE,
        COHERE2,
        NEMOTRON,
        OLMO,
        OLMO2,
        OLMO3,
        OLMOE,
        FLEX_OLMO,
        SMOLLM3,
        GRANITE,
        GRANITEMOE,
        GRANITEMOESHARED,
        SEED_OSS,
        MINISTRAL,
        EXAONE4,
        ARCEE,
    )
}
# What files hold beside parameters: masks and rotary frequencies, which older versions saved.
BUFFERS = (
    "h.{i}.attn.bias",
    "h.{i}.attn.masked_bias",
    "transformer.h.{i}.attn.bias",
    "transformer.h.{i}.attn.masked_bias",
    "transformer.h.{i}.attn.attention.bias",
    "transformer.h.{i}.attn.attention.masked_bias",
    "transformer.h.{i}.attn.causal_mask",
    "gpt_neox.layers.{i}.attention.bias",
    "gpt_neox.layers.{i}.attention.masked_bias",
    "gpt_neox.layers.{i}.attention.rotary_emb.inv_freq",
    "model.layers.{i}.self_attn.rotary_emb.inv_freq",
)


def config_of(hf_config: Any) -> DecoderConfig:
    """The config of a model that computes the same function, its parameters in another layout.

    Raises UserError, naming the setting, where our decoder has no such part.
    """
    return _read(hf_config)[1]


def rules_of(hf_config: Any) -> str:
    """The rule table from names of `named_parameters()`, or of files, to ours. Raises UserError as `config_of` does."""
    family, config = _read(hf_config)
    outer = OUTER.get(_values(hf_config)["model_type"])
    tables = (family.parameters(config), family.files(config), family.older(config))
    if outer is not None:
        return outer.rules(*tables[:2], tied=config.tied_head)
    maybe = (
        *BUFFERS,
        *(("lm_head.weight", "embed_out.weight") if config.tied_head else ()),
    )  # a tied head may be in a file as well
    left_out = "".join(f"- <- {name}\n" for name in family.left_out)
    return rule_lines(tables) + left_out + "".join(f"- <-? {name}\n" for name in maybe)


def taps_of(hf_config: Any) -> str:
    """The table of modules that return the same, to compare activations by. Raises UserError as `config_of` does.

    Query, key and value are one product on our side, gate and up too, and experts work on slots: they are not tapped.
    """
    family, config = _read(hf_config)
    outer = OUTER.get(_values(hf_config)["model_type"])
    taps = family.taps(config)
    return rule_lines([taps if outer is None else renamed(taps, outer.parameters)])


def hf_config_of(config: DecoderConfig, model_type: str) -> dict[str, Any]:
    """What `config.json` holds for a model of a family that computes the same function.

    Raises UserError, naming the first field that the family has no setting for, and the families that have all of them.
    """
    family = _family(model_type)
    if lacking := _lacking(family, config):
        able = [name for name, other in FAMILIES.items() if not _lacking(other, config)]
        others = f"can be had as {', '.join(able)}" if able else "no supported family has all of this config"
        raise UserError(f"{model_type} has no {lacking}: {others}")
    return _written(family, config)


def to_huggingface(params: Mapping[str, Any], config: DecoderConfig, model_type: str) -> dict[str, np.ndarray]:
    """Our flat parameters under the names and in the layouts of a family's files, dtypes kept.

    What the family never reads, as OPT's rows for padding, is zero. Raises UserError as `hf_config_of` does, or where a
    parameter is not the config's.
    """
    hf_config_of(config, model_type)
    rules = WeightRules.parse(file_rules(config, model_type))
    arrays = {name: np.asarray(value) for name, value in params.items()}
    return rules.plan(arrays, rules.reference_shapes(arrays)).to_reference(arrays)


def file_rules(config: DecoderConfig, model_type: str) -> str:
    """The rule table between our parameters and the names of a family's files, one source for each."""
    family = _family(model_type)
    return rule_lines([{**family.parameters(config), **family.files(config)}])


def module_rules(config: DecoderConfig, model_type: str) -> str:
    """The rule table between our parameters and `named_parameters()` of a family's model, one source for each."""
    return rule_lines([_family(model_type).parameters(config)])


def from_huggingface(tensors: Mapping[str, Any], hf_config: Any, expected: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """Our flat parameters from the tensors of a family's files, dtypes kept; `expected` has our names and shapes.

    Raises UserError by name unless every element of every tensor arrives exactly once.
    """
    return WeightRules.parse(rules_of(hf_config)).plan(expected, tensors).require().to_candidate(tensors)


def _values(hf_config: Any) -> Mapping[str, Any]:
    return hf_config if isinstance(hf_config, Mapping) else hf_config.to_dict()


def _read(hf_config: Any) -> tuple[Family, DecoderConfig]:
    values = _values(hf_config)
    if outer := OUTER.get(values.get("model_type") or ""):
        values = outer.text_config(values)
    family = _family(values.get("model_type") or "")
    return family, family.read(HFSettings(values, family.defaults))


def _family(model_type: str) -> Family:
    if model_type in OUTER:
        raise UserError(f"{model_type} is read, not written: its decoder is written as {OUTER[model_type].text}")
    if model_type not in FAMILIES:
        raise UserError(
            f"model_type {model_type!r} is not supported{nearest(model_type, FAMILIES)}: see docs/huggingface.md"
        )
    return FAMILIES[model_type]


def _written(family: Family, config: DecoderConfig) -> dict[str, Any]:
    tokens = dict.fromkeys(("bos_token_id", "eos_token_id", "pad_token_id"))  # the tokenizer's; defaults would be wrong
    return {
        "model_type": family.model_type,
        "architectures": [family.architecture],
        **tokens,
        **family.write(config),
    }


def _lacking(family: Family, config: DecoderConfig) -> str:
    """The first field that is lost when the config is written for a family and read back; "" where none is."""
    if config.vocab_size is None:
        raise UserError("model.vocab_size is None, the tokenizer's: give the number of rows that the embedding has")
    try:
        back = family.read(HFSettings(_written(family, config), family.defaults))
    except Inexpressible as error:
        return str(error)
    except UserError as error:
        return f"this config ({error})"
    return first_difference(config, back)
