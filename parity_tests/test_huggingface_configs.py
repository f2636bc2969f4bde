"""Hugging Face configs as ours: objects, files of this year and of earlier ones, and what is refused."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from jaxdec.config.model import DecoderConfig
from jaxdec.config.parts import Full, Local, MoE
from jaxdec.config.positions import LinearScaling, RoPE, YarnScaling
from jaxdec.errors import UserError
from jaxdec.parity.pairs.huggingface import CONFIGS, tiny_config
from jaxdec.weights.huggingface.function import first_difference
from jaxdec.weights.huggingface.registry import config_of, hf_config_of


@pytest.mark.parametrize("name", CONFIGS)
def test_a_file_of_the_config_says_the_same(name: str) -> None:
    assert config_of(json.loads(tiny_config(name).to_json_string())) == config_of(tiny_config(name))


@pytest.mark.parametrize("name", CONFIGS)
def test_what_a_file_leaves_out_is_what_transformers_assumes(name: str) -> None:
    """Each setting left out in turn: refused as a size that must be known, or the model that transformers makes."""
    from transformers import AutoConfig

    sizes: dict[str, Any] = {"num_attention_heads": 32, "hidden_size": 256, "num_experts": 8}  # that defaults fit
    sizes |= {"n_embd": 512, "num_layers": 24, "attention_types": [[["global", "local"], 12]]}
    family = CONFIGS[name]
    settings = {key: sizes.get(key, value) for key, value in family.tiny[name].settings.items()}
    for left_out in settings:
        given = {key: value for key, value in settings.items() if key != left_out}
        found = read_or_refused({"model_type": family.model_type, **given})
        if isinstance(found, str):
            assert f"the {family.model_type} config has {left_out} = None: a whole number is needed" == found
        else:
            expected = config_of(AutoConfig.for_model(family.model_type, **given))
            assert first_difference(found, expected) == "", left_out


def read_or_refused(settings: dict[str, Any]) -> DecoderConfig | str:
    try:
        return config_of(settings)
    except UserError as error:
        return str(error)


LLAMA = {
    "model_type": "llama",
    "vocab_size": 97,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 4,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 64,
}
GPT_NEO = {"model_type": "gpt_neo", "vocab_size": 97, "hidden_size": 32, "num_layers": 2, "num_heads": 4}
GPT_NEO |= {"max_position_embeddings": 64}
GPT2 = {"model_type": "gpt2", "vocab_size": 97, "n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 64}


def test_rotary_settings_of_older_files() -> None:
    """Before transformers 5: a dict `rope_scaling`, at first with `type`, beside `rope_theta`."""
    scaling = {"type": "yarn", "factor": 4.0, "original_max_position_embeddings": 16}
    position = config_of({**LLAMA, "rope_theta": 500_000, "rope_scaling": scaling}).position
    assert position == RoPE(500_000.0, YarnScaling(original_context=16, factor=4.0))


def test_layers_of_older_files() -> None:
    """Which layers have a window followed from other settings before there were `layer_types`."""
    window = {"use_sliding_window": True, "sliding_window": 5, "max_window_layers": 3}
    assert config_of({**LLAMA, **window, "model_type": "qwen2"}).attention == (Full(), Full(), Full(), Local(window=5))
    assert config_of({**LLAMA, **window, "model_type": "qwen2", "use_sliding_window": False}).attention == Full()
    gemma = config_of({**LLAMA, "model_type": "gemma2", "sliding_window": 5, "attn_logit_softcapping": None})
    assert gemma.attention == (Local(window=5), Full())


def test_rotary_settings_by_kind_of_layer_of_older_files() -> None:
    """Before transformers 5 they stood side by side, and a scaling was that of full layers."""
    rope = {"rope_theta": 5e5, "rope_local_base_freq": 77.0, "rope_scaling": {"rope_type": "linear", "factor": 8.0}}
    found = config_of({**LLAMA, **rope, "model_type": "gemma3_text", "sliding_window": 5, "sliding_window_pattern": 2})
    assert found.position == (RoPE(77.0), RoPE(5e5, LinearScaling(8.0)))
    yarn = {"rope_type": "yarn", "factor": 8.0, "original_max_position_embeddings": 16}
    found = config_of({**LLAMA, "model_type": "olmo3", "sliding_window": 5, "rope_theta": 5e5, "rope_scaling": yarn})
    assert found.position == (*[RoPE(5e5)] * 3, RoPE(5e5, YarnScaling(original_context=16, factor=8.0)))


def test_dense_layers_among_mixtures() -> None:
    config = {
        **LLAMA,
        "model_type": "qwen3_moe",
        "num_experts": 4,
        "num_experts_per_tok": 2,
        "moe_intermediate_size": 24,
    }
    found = config_of({**config, "mlp_only_layers": [3], "decoder_sparse_step": 2})
    assert [isinstance(found.mlp_of(layer), MoE) for layer in range(4)] == [False, True, False, False]


REFUSED = [
    ({"model_type": "gpt_neo_x"}, r"model_type 'gpt_neo_x' is not supported .*did you mean 'gpt_neox'"),
    ({**LLAMA, "model_type": "stablelm", "partial_rotary_factor": 0.4}, "partial_rotary_factor = 0.4 .* even number"),
    ({**LLAMA, "model_type": "falcon", "alibi": True}, "alibi = True is not supported"),
    ({**LLAMA, "model_type": "falcon", "new_decoder_architecture": True, "parallel_attn": False}, "falcon: num_ln"),
    ({**GPT2, "model_type": "gptj", "rotary_dim": 10}, "rotary_dim = 10 is not supported: an even number"),
    ({**GPT2, "model_type": "codegen", "n_head": 2}, "n_head = 2 is not supported: .* 4 parts"),
    ({**GPT_NEO, "attention_types": [[["global"], 3]]}, "attention_types = .* names 3 layers, and num_layers is 2"),
    ({**LLAMA, "model_type": "cohere2", "head_dim": 24}, "head_dim = 24 is not supported"),
    ({**LLAMA, "model_type": "phi", "tie_word_embeddings": True}, "tie_word_embeddings = True is not supported"),
    ({**LLAMA, "model_type": "stablelm", "qk_layernorm": True}, "qk_layernorm = True is not supported"),
    ({**LLAMA, "model_type": "cohere", "use_qk_norm": True}, "use_qk_norm = True is not supported"),
    ({**LLAMA, "model_type": "phi3", "rope_scaling": {"type": "su"}}, "rope_type = 'su' is not supported"),
    ({"model_type": "qwen3moe"}, "did you mean 'qwen3_moe'"),
    ({}, "model_type '' is not supported"),
    ({**LLAMA, "partial_rotary_factor": 0.5}, "partial_rotary_factor = 0.5 is not supported"),
    ({**LLAMA, "rope_parameters": {"rope_type": "dynamic", "factor": 2.0}}, "rope_type = 'dynamic' is not supported"),
    ({**LLAMA, "rope_parameters": {"rope_type": "linear"}}, "rope_type linear without 'factor'"),
    ({**LLAMA, "rope_parameters": {"full_attention": {"rope_type": "default"}}}, "the same angles"),
    ({**LLAMA, "hidden_act": "swish9"}, "hidden_act = 'swish9' is not supported"),
    ({**LLAMA, "hidden_size": None}, "hidden_size = None: a whole number is needed"),
    ({**GPT2, "n_inner": 12.5}, r"n_inner = 12\.5: a whole number is needed"),
    ({**GPT2, "scale_attn_by_inverse_layer_idx": True}, "scale_attn_by_inverse_layer_idx = True is not supported"),
    ({**LLAMA, "model_type": "opt", "do_layer_norm_before": False}, "do_layer_norm_before = False"),
    ({**LLAMA, "model_type": "opt", "word_embed_proj_dim": 16}, "word_embed_proj_dim = 16"),
    ({**LLAMA, "model_type": "qwen2", "layer_types": ["chunked_attention"] * 4}, "layer_types = 'chunked_attention'"),
    ({**LLAMA, "model_type": "qwen3", "layer_types": ["full_attention"]}, "is not supported: there are 4 layers"),
    ({**LLAMA, "model_type": "gpt_oss", "swiglu_alpha": 2.0}, "swiglu_alpha = 2.0"),
    (
        {"model_type": "gemma3", "text_config": {"model_type": "llama"}},
        "gemma3: text_config is no config of a gemma3_te",
    ),
    (
        {"model_type": "gemma3", "tie_word_embeddings": False, "text_config": {}},
        "tie_word_embeddings is False, but True in text_config",
    ),
    ({**LLAMA, "model_type": "olmo3", "rope_theta": 10_000}, "rope_theta = 10000 is not supported: give rope_param"),
    ({**LLAMA, "model_type": "granite", "logits_scaling": -1}, "logits_scaling = -1 is not supported: a number above"),
    ({**LLAMA, "model_type": "granite", "logits_scaling": None}, "logits_scaling = None: a number is needed"),
    (
        {**LLAMA, "model_type": "smollm3", "sliding_window": 5, "layer_types": ["sliding_attention"] * 4},
        "use_sliding_window = False is not supported: the attentions",
    ),
]


@pytest.mark.parametrize(("config", "message"), REFUSED)
def test_what_is_not_supported_is_named_in_one_line(config: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message) as caught:
        config_of(config)
    assert "\n" not in str(caught.value)


def test_rotary_settings_under_a_familys_own_names() -> None:
    """Pythia's files say `rotary_pct` and `rotary_emb_base`; what stands in `rope_parameters` comes first."""
    pythia = {**LLAMA, "model_type": "gpt_neox", "rotary_pct": 0.5, "rotary_emb_base": 500.0}
    assert config_of(pythia).position == RoPE(500.0, channels=4)
    newer = {**pythia, "rope_parameters": {"rope_theta": 70.0, "partial_rotary_factor": 1.0}}
    assert config_of(newer).position == RoPE(70.0)


@pytest.mark.parametrize(("head_dim", "channels"), [(98, 2), (98, 96), (80, 32), (128, 32), (6, 4), (6, 6)])
def test_the_share_that_turns_is_written_so_that_it_is_read_back(head_dim: int, channels: int) -> None:
    config = config_of({**LLAMA, "model_type": "phi3", "head_dim": head_dim})
    config = replace(config, position=RoPE(channels=channels))
    written = hf_config_of(config, "phi3")
    assert int(head_dim * written["partial_rotary_factor"]) == channels
    assert first_difference(config, config_of(written)) == ""
