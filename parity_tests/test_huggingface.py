"""Models written by others: transformers' decoders and ours are the same function, in true float64.

The tiny configs stand in `jaxdec.parity.huggingface_pairs`; wrong rules and wrong values show that the test can fail.
"""

from __future__ import annotations

import functools
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from jaxdec.errors import UserError
from jaxdec.interop.huggingface import FAMILIES, config_of, rules_of
from jaxdec.interop.huggingface_settings import ACTIVATIONS
from jaxdec.layer_config import MLP, Full, LayerNorm, Local, MoE, RMSNorm
from jaxdec.model_config import ModelConfig
from jaxdec.parity import stages
from jaxdec.parity.comparison import Difference, require
from jaxdec.parity.float64 import everything_in_float64
from jaxdec.parity.huggingface_pairs import BATCH_SIZE, CONFIGS, PAIRS, WINDOW, hf_config_of, hf_model
from jaxdec.parity.pair import Pair, Setting
from jaxdec.parity.rules import WeightRules
from jaxdec.parity.twins.jax_twin import JaxTwin
from jaxdec.parity.twins.run import twin_run
from jaxdec.position_config import LinearScaling, RoPE, YarnScaling

GENERIC = Setting("generic")
CONFIG_OF = {name: hf_config_of(name) for name in CONFIGS}
BY_FAMILY = {config.model_type: name for name, config in reversed(CONFIG_OF.items())}  # the first config of each


@functools.cache
def sides(name: str) -> stages.Sides:
    return stages.Sides(PAIRS[f"hf:{name}"]())


@pytest.mark.parametrize("regime", ["generic", "init"])
@pytest.mark.parametrize("name", CONFIGS)
def test_activations_logits_and_gradients(name: str, regime: Any) -> None:
    at = Setting(regime)
    for stage in (stages.weights, stages.taps, stages.logits, stages.routing, stages.loss, stages.gradients):
        require(stage(sides(name), at))


@pytest.mark.parametrize("name", ["gpt-bigcode", "mistral", "gemma2", "gpt-oss"])
def test_the_cached_decoder_continues_as_they_do(name: str) -> None:
    """Prompts and continuations are longer than the windows."""
    require(stages.greedy(sides(name), GENERIC))


def test_every_supported_family_has_an_oracle() -> None:
    assert set(BY_FAMILY) == set(FAMILIES)


@pytest.mark.parametrize("name", CONFIGS)
def test_no_square_kernel_looks_turned(name: str) -> None:
    assert not sides(name).transfer.plan.problems


SWAPPED = {  # by family: what changes places in its table, which stays a bijection
    "gpt2": (("chunk(0,3,", "chunk(1,3,"),),
    "gpt_bigcode": (("rows(32,40)", "rows(40,48)"),),
    "opt": (("rows(2,)", "rows(0,64)"), ("rows(0,2)", "rows(64,66)")),
    "llama": (("o_proj.weight : T", "o_proj.weight"),),
    "mistral": (("k_proj", "v_proj"),),
    "mixtral": (("chunk(0,2,", "chunk(1,2,"),),
    "qwen2": (("q_proj.bias", "q_proj.bias : halves(4)"),),
    "qwen3": (("q_norm", "k_norm"),),
    "qwen3_moe": (("mlp.gate.weight : T", "mlp.gate.weight : reshape(32,4)"),),
    "olmo2": (("post_attention_layernorm", "post_feedforward_layernorm"),),
    "gemma2": ((".pre_feedforward_layernorm.weight : plus(1)", ".pre_feedforward_layernorm.weight"),),
    "gpt_oss": (("every(0,2,2)", "chunk(0,2,2)"), ("every(1,2,2)", "chunk(1,2,2)")),
}


@pytest.mark.parametrize("family", FAMILIES)
def test_a_wrong_rule_shows_in_the_logits(family: str) -> None:
    pair = sides(BY_FAMILY[family]).pair
    table = pair.weights
    for a, b in SWAPPED[family]:
        assert a in table
        table = table.replace(a, "\0").replace(b, a).replace("\0", b)
    wrong = stages.Sides(replace(pair, weights=table))
    require(stages.weights(wrong, GENERIC))
    with pytest.raises(Difference):
        require(stages.logits(wrong, GENERIC))


WRONG_VALUES: dict[str, Any] = {  # by config: what is changed of ours
    "gpt2": lambda config: replace(config, norm=LayerNorm(1e-6)),
    "gpt-bigcode": lambda config: replace(config, mlp=MLP(4, "gelu")),
    "opt": lambda config: replace(config, mlp=MLP(2, "silu")),
    "llama": lambda config: replace(config, position=RoPE(theta=10_001.0)),
    "llama-linear": lambda config: replace(config, position=RoPE(1000.0, LinearScaling(3.01))),
    "llama-llama3": lambda config: with_scaling(config, low_frequency=1.01),
    "llama-yarn": lambda config: with_scaling(config, attention_factor=1.0),
    "mistral": lambda config: replace(config, attention=Local(window=6)),
    "mixtral": lambda config: replace(config, mlp=replace(config.mlp, gates="all")),
    "qwen2": lambda config: replace(config, attention=Full()),
    "qwen3": lambda config: replace(config, qk_norm=RMSNorm(1e-5)),
    "qwen3-moe": lambda config: replace(config, mlp=replace(config.mlp, gates="chosen")),
    "olmo2": lambda config: replace(config, qk_norm=RMSNorm(1e-6)),
    "gemma2": lambda config: replace(config, score_scale=None),
    "gpt-oss": lambda config: with_scaling(config, truncate=True),
}


def with_scaling(config: ModelConfig, **values: Any) -> ModelConfig:
    position: Any = config.position
    return replace(config, position=replace(position, scaling=replace(position.scaling, **values)))


@pytest.mark.parametrize("name", WRONG_VALUES)
def test_a_wrong_value_shows_in_the_logits(name: str) -> None:
    pair = sides(name).pair
    wrong = stages.Sides(with_config(pair, WRONG_VALUES[name](config_of(CONFIG_OF[name]))))
    require(stages.weights(wrong, GENERIC))
    with pytest.raises(Difference):
        require(stages.logits(wrong, GENERIC))


def with_config(pair: Pair, config: ModelConfig) -> Pair:
    ours = JaxTwin(twin_run(config, batch_size=BATCH_SIZE, window=WINDOW))
    return replace(pair, candidate=replace(pair.candidate, run=ours.read))


@pytest.mark.parametrize("name", CONFIGS)
def test_files_carry_the_same_weights(name: str, tmp_path: Path) -> None:
    """What `save_pretrained` writes has other names for experts; a tied head may be written twice."""
    from safetensors.numpy import load_file

    model = hf_model(CONFIG_OF[name], "float32")
    model.save_pretrained(tmp_path)
    found = load_file(tmp_path / "model.safetensors")
    plan = WeightRules.parse(rules_of(json.loads((tmp_path / "config.json").read_text()))).plan(
        sides(name).candidate.candidate.shapes, found
    )
    theirs = {key: value.detach().numpy() for key, value in model.named_parameters()}
    expected = sides(name).transfer.plan.to_candidate(theirs)
    assert {problem.name for problem in plan.problems} == set()
    for key, value in plan.require().to_candidate(found).items():
        np.testing.assert_array_equal(value, expected[key])


@pytest.mark.parametrize("name", CONFIGS)
def test_a_file_of_the_config_says_the_same(name: str) -> None:
    assert config_of(json.loads(CONFIG_OF[name].to_json_string())) == config_of(CONFIG_OF[name])


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
    ({"model_type": "gpt_neox"}, r"model_type 'gpt_neox' is not supported .*gpt_oss"),
    ({"model_type": "qwen3moe"}, "did you mean 'qwen3_moe'"),
    ({}, "model_type '' is not supported"),
    ({**LLAMA, "partial_rotary_factor": 0.5}, "partial_rotary_factor = 0.5 is not supported"),
    ({**LLAMA, "rope_parameters": {"rope_type": "dynamic", "factor": 2.0}}, "rope_type = 'dynamic' is not supported"),
    ({**LLAMA, "rope_parameters": {"rope_type": "linear"}}, "rope_type linear without 'factor'"),
    ({**LLAMA, "rope_parameters": {"full_attention": {"rope_type": "default"}}}, "the same angles"),
    ({**LLAMA, "hidden_act": "swish9"}, "hidden_act = 'swish9' is not supported"),
    ({**LLAMA, "hidden_size": None}, "hidden_size = None: a whole number is needed"),
    ({**GPT2, "n_inner": 100}, "n_inner = 100 is not supported: an MLP has a multiple of the width 32"),
    ({**GPT2, "scale_attn_by_inverse_layer_idx": True}, "scale_attn_by_inverse_layer_idx = True is not supported"),
    ({**LLAMA, "model_type": "opt", "do_layer_norm_before": False}, "do_layer_norm_before = False"),
    ({**LLAMA, "model_type": "opt", "word_embed_proj_dim": 16}, "word_embed_proj_dim = 16"),
    ({**LLAMA, "model_type": "qwen2", "layer_types": ["chunked_attention"] * 4}, "layer_types = 'chunked_attention'"),
    ({**LLAMA, "model_type": "gpt_oss", "swiglu_alpha": 2.0}, "swiglu_alpha = 2.0"),
]


@pytest.mark.parametrize(("config", "message"), REFUSED)
def test_what_is_not_supported_is_named_in_one_line(config: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message) as caught:
        config_of(config)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_activations_by_their_names(name: str) -> None:
    import jax
    from transformers.activations import ACT2FN

    from jaxdec.layers.mlp import ACTIVATIONS as OURS

    x = np.linspace(-6, 6, 101)
    with jax.enable_x64(True), everything_in_float64():
        np.testing.assert_allclose(OURS[ACTIVATIONS[name]](x), ACT2FN[name](torch.tensor(x)), rtol=1e-14, atol=1e-15)


def test_nothing_is_computed_in_less_than_float64() -> None:
    with everything_in_float64():
        x = torch.arange(3, dtype=torch.float32)
        y = torch.ones(3, requires_grad=True)
        assert {x.dtype, y.dtype, y.float().dtype, x.double().to(torch.float32).dtype} == {torch.float64}
        y.softmax(0, dtype=torch.float32).square().sum().backward()
        assert y.grad is not None and y.grad.dtype == torch.float64
    assert torch.ones(1).dtype == torch.float32
    assert torch.ones(1).double().float().dtype == torch.float32


def test_double_alone_is_not_float64() -> None:
    """Why the mode is needed: what is left without it is a thousand times the bar."""
    tokens = torch.arange(24).reshape(2, 12)
    half = hf_model(CONFIG_OF["llama"], "float32").double()
    with everything_in_float64():
        whole = hf_model(CONFIG_OF["llama"], "float64")
        whole.load_state_dict(half.state_dict())
        true = whole(tokens).logits
    error = ((half(tokens).logits - true).norm() / true.norm()).item()
    assert 1e-8 < error < 1e-5
