"""Hugging Face configs as ours and back, from their settings alone: neither transformers nor torch is needed."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jaxdec.config.model import DecoderConfig
from jaxdec.config.parts import MLP, Full, GatedMLP, LayerNorm, Local, MoE, RMSNorm
from jaxdec.config.positions import Learned, NoPosition, RoPE, YarnScaling
from jaxdec.errors import UserError
from jaxdec.weights.huggingface.function import first_difference
from jaxdec.weights.huggingface.page import PAGE, filled, tables
from jaxdec.weights.huggingface.registry import FAMILIES, config_of, hf_config_of, rules_of, taps_of, to_huggingface
from jaxdec.weights.rules import WeightRules
from tests.configs import any_config

TINY: dict[str, dict[str, Any]] = {
    name: {"model_type": family.model_type, **tiny.settings}
    for family in FAMILIES.values()
    for name, tiny in family.tiny.items()
}
LLAMA = config_of(TINY["llama"])


@pytest.mark.parametrize("name", TINY)
def test_a_config_there_and_back_is_the_same_function(name: str) -> None:
    config = config_of(TINY[name])
    written = json.loads(json.dumps(hf_config_of(config, TINY[name]["model_type"])))
    assert first_difference(config, config_of(written)) == ""
    for key in set(written) & set(TINY[name]) - {"decoder_sparse_step"}:  # written layer by layer
        wanted = TINY[name][key]
        found = written[key] if not isinstance(wanted, dict) else {k: written[key][k] for k in wanted}
        if key != "intermediate_size" or config_of(written) == config:
            assert found == wanted, key


@pytest.mark.parametrize("kind", FAMILIES)
def test_what_a_family_refuses_is_named_in_one_line(kind: str) -> None:
    settings = TINY[next(iter(FAMILIES[kind].tiny))]
    config_of(settings)
    for refused in FAMILIES[kind].refused:
        with pytest.raises(UserError) as caught:
            config_of({**settings, refused.setting: refused.value})
        named = {refused.setting, *(refused.value if isinstance(refused.value, dict) else ())}
        assert any(name in str(caught.value) for name in named)
        assert str(caught.value).startswith(f"{kind}: ") and "\n" not in str(caught.value)


INEXPRESSIBLE = [
    (
        "llama",
        replace(LLAMA, qk_norm=RMSNorm(1e-6)),
        r"model\.qk_norm = RMSNorm\(epsilon=1e-06\) \(.* None\): .* qwen3$",
    ),
    ("llama", replace(LLAMA, position=NoPosition()), r"model\.position = NoPosition\(\): can be had as smollm3$"),
    ("llama", replace(LLAMA, norm=LayerNorm()), r"model\.norm = LayerNorm.* \(it would be RMSNorm"),
    ("llama", replace(LLAMA, mlp=MLP(hidden=50)), r"model\.mlp = MLP\(.*hidden=50\)"),
    ("llama", replace(LLAMA, mlp=(GatedMLP(48), GatedMLP(40))), r"model\.mlp = \(GatedMLP"),
    (
        "llama",
        replace(LLAMA, attention=Local(window=3)),
        r"model\.attention = Local\(.* mistral, phi3, smollm3, ministral$",
    ),
    ("llama", replace(LLAMA, attention=(Full(), Local(window=3))), r"model\.attention = \(Full"),
    (
        "llama",
        replace(LLAMA, attention=Full(alibi=8.0)),
        r"model\.attention\.alibi = 8\.0 \(it would be None\): no supp",
    ),
    ("llama", replace(LLAMA, attention_bias="qkv"), r"model\.attention_bias = 'qkv' .* can be had as qwen2, seed_oss$"),
    (
        "qwen2",
        replace(LLAMA, attention_bias="qkv", attention=(Local(window=3), Local(window=4))),
        r"model\.attention\b",
    ),
    ("gpt2", LLAMA, r"model\.position = RoPE"),
    ("gpt2", replace(config_of(TINY["gpt2"]), kv_heads=2), r"model\.kv_heads = 2 \(it would be 4\)"),
    ("gemma2", replace(config_of(TINY["gemma2"]), score_scale=0.3), r"model\.score_scale = 0\.3"),
    ("gemma2", replace(config_of(TINY["gemma2"]), embed_scale=None), r"model\.embed_scale = None"),
    (
        "mixtral",
        replace(config_of(TINY["mixtral"]), mlp=MoE(4, expert=GatedMLP(48))),
        r"mlp\.eval_capacity_factor = 2\.0",
    ),
    ("mixtral", replace(config_of(TINY["mixtral"]), mlp=MoE(4)), r"model\.mlp\.expert = MLP"),
    (
        "opt",
        replace(config_of(TINY["opt"]), norm=LayerNorm(1e-6)),
        r"model\.norm\.epsilon = 1e-06 .*: can be had as gpt2, gpt_bigcode$",
    ),
]


@pytest.mark.parametrize(("kind", "config", "says"), INEXPRESSIBLE)
def test_what_a_family_cannot_express_is_named_by_field(kind: str, config: DecoderConfig, says: str) -> None:
    with pytest.raises(UserError, match=f"^{kind} has no .*{says}") as caught:
        hf_config_of(config, kind)
    assert "\n" not in str(caught.value)


def test_a_family_is_known_and_so_is_the_vocabulary() -> None:
    with pytest.raises(UserError, match="did you mean 'llama'"):
        hf_config_of(LLAMA, "lama")
    with pytest.raises(UserError, match=r"model\.vocab_size is None"):
        hf_config_of(replace(LLAMA, vocab_size=None), "llama")


@given(config=any_config(DecoderConfig), kind=st.sampled_from(sorted(FAMILIES)))
def test_any_config_is_written_or_refused(config: DecoderConfig, kind: str) -> None:
    config, said = replace(config, layers=4), ""
    try:
        written = hf_config_of(config, kind)
    except UserError as error:
        said = str(error)
    else:
        assert first_difference(config, config_of(json.loads(json.dumps(written)))) == ""
    assert "\n" not in said


def test_what_is_a_matter_of_training_is_no_difference() -> None:
    moe = MoE(4, expert=GatedMLP(24), eval_capacity_factor=None)
    one = replace(LLAMA, mlp=moe, attention=(Full(sink=0.0), Full(sink=0.0)), position=Learned())
    other = replace(
        one,
        mlp=(replace(moe, balance_loss=0.5, z_loss=0.5, init_scale=1.0, capacity_factor=None, min_capacity=9),) * 2,
        attention=Full(sink=1.0),
        position=Learned(init_std=0.5),
        dropout=0.1,
        attention_bias=None,
        score_scale=LLAMA.resolved_head_dim**-0.5,
        head_dim=8,
    )
    assert first_difference(one, other) == ""
    assert first_difference(one, replace(other, mlp=replace(moe, min_capacity=9, eval_capacity_factor=2.0))) != ""
    yarn = replace(LLAMA, position=RoPE(scaling=YarnScaling(64, factor=1.0)))
    same = replace(yarn, position=RoPE(scaling=YarnScaling(64, factor=1.0, attention_factor=1.0)))
    assert first_difference(yarn, same) == ""
    less = replace(yarn, position=RoPE(scaling=YarnScaling(64, factor=1.0, attention_factor=0.5)))
    assert first_difference(yarn, less).startswith("model.position.scaling.attention_factor = ")


@pytest.mark.parametrize("name", TINY)
def test_tables_are_tables(name: str) -> None:
    """Names without variables that are not meant: every line is a rule, and none is said twice."""
    for text in (rules_of(TINY[name]), taps_of(TINY[name])):
        assert len(WeightRules.parse(text).rules) == len(text.splitlines())


def test_weights_of_another_config_are_refused() -> None:
    with pytest.raises(UserError, match=r"blocks\.0\.attention\.gate\.kernel .* no rule"):
        to_huggingface({"blocks.0.attention.gate.kernel": np.zeros((2, 2))}, LLAMA, "llama")
    with pytest.raises(UserError, match="gpt2 has no model"):
        to_huggingface({}, LLAMA, "gpt2")


def test_the_page_says_what_the_registry_says() -> None:
    page = PAGE.read_text()
    assert filled(page) == page, "run: python -m jaxdec.weights.huggingface.page"
    assert all(f"| `{kind}` |" in tables()["families"] for kind in FAMILIES)
    assert filled(page.replace("`gpt_bigcode`", "`gpt_tinycode`")) == page
    with pytest.raises(ValueError, match="families"):
        filled("")
