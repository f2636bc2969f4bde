"""Models written by others: transformers' decoders and ours are the same function, in true float64.

The tiny configs stand with their families in `jaxdec.weights.huggingface`; wrong rules and wrong values show that the
test can fail.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Collection, Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from jaxdec.config.model import DecoderConfig
from jaxdec.config.parts import MLP, Full, LayerNorm, Local, RMSNorm
from jaxdec.config.positions import LinearScaling, RoPE
from jaxdec.errors import UserError
from jaxdec.parity.adapters.float64 import everything_in_float64
from jaxdec.parity.compare.comparison import Difference, require
from jaxdec.parity.pair import Pair
from jaxdec.parity.pairs.huggingface import (
    BATCH_SIZE,
    CONFIGS,
    PAIRS,
    WINDOW,
    hf_model,
    pair_of_config,
    tiny_config,
    with_plain_experts,
)
from jaxdec.parity.pairs.jax_twin import JaxTwin
from jaxdec.parity.pairs.run import twin_run
from jaxdec.parity.setting import Setting
from jaxdec.parity.sides import stages
from jaxdec.weights.huggingface.registry import (
    FAMILIES,
    config_of,
    from_huggingface,
    hf_config_of,
    rules_of,
    to_huggingface,
)
from jaxdec.weights.huggingface.settings import ACTIVATIONS
from jaxdec.weights.rules import WeightRules

GENERIC = Setting("generic")
CONFIG_OF = {name: tiny_config(name) for name in CONFIGS}
BY_FAMILY = {config.model_type: name for name, config in reversed(CONFIG_OF.items())}  # the first config of each


def mostly_long(names: Iterable[str], short: Collection[str]) -> list[Any]:
    """All of these, those that are not among `short` for `make test-long`."""
    return [pytest.param(name, marks=[pytest.mark.long] * (name not in short)) for name in names]


@functools.cache
def sides(name: str) -> stages.Sides:
    return stages.Sides(PAIRS[f"hf:{name}"]())


FORWARD = (stages.weights, stages.taps, stages.logits, stages.routing)
ALL = (*FORWARD, stages.loss, stages.gradients)


@pytest.mark.parametrize("name", mostly_long(CONFIGS, BY_FAMILY.values()))
def test_activations_and_logits(name: str) -> None:
    for stage in FORWARD:
        require(stage(sides(name), GENERIC))


# One for each way through a block: what the other families add is in their logits already.
DIFFERENTIATED = (
    *("gpt2", "llama", "gemma2", "gemma3", "gpt-oss", "mixtral", "qwen2-moe", "qwen3", "olmo2", "cohere", "gpt-neox"),
    *("phi3", "granite", "smollm3"),
)


@pytest.mark.parametrize("name", mostly_long(BY_FAMILY.values(), DIFFERENTIATED))
def test_loss_and_gradients_of_each_family(name: str) -> None:
    for stage in (stages.loss, stages.gradients):
        require(stage(sides(name), GENERIC))


@pytest.mark.long
@pytest.mark.parametrize("weight_init", ["generic", "init"])
@pytest.mark.parametrize("name", CONFIGS)
def test_every_config_with_both_kinds_of_weights(name: str, weight_init: Any) -> None:
    for stage in ALL:
        require(stage(sides(name), Setting(weight_init)))


CONTINUED = ("gemma2", "gemma3", "smollm3", "gpt-oss")  # windows, layers that differ, sinks


@pytest.mark.parametrize("name", mostly_long(BY_FAMILY.values(), CONTINUED))
def test_the_cached_decoder_continues_as_they_do(name: str) -> None:
    """Prompts and continuations are longer than the windows."""
    require(stages.greedy(sides(name), GENERIC))


def test_every_supported_family_has_an_oracle() -> None:
    assert set(BY_FAMILY) == set(FAMILIES)


@pytest.mark.parametrize("name", CONFIGS)
def test_no_square_kernel_looks_turned(name: str) -> None:
    assert not sides(name).transfer.plan.problems


BY_TYPES = {  # the first config of each family that knows `layer_types`, or windows: whether transformers obeys them
    "llama": False,
    "mistral": False,
    "mixtral": False,
    "granite": False,
    "seed-oss": False,
    "arcee": False,
    "ministral": True,
    "vaultgemma": True,
    "exaone4": True,
    "flex-olmo": False,
    "granitemoe": False,
    "granitemoeshared": False,
    "olmo2": False,
    "olmo3": True,
    "olmoe": False,
    "qwen2-moe": True,
    "smollm3": True,
    "qwen3-moe": False,
    "phi3": False,
    "starcoder2": False,
    "qwen2": True,
    "qwen3": True,
    "gemma": False,
    "gemma2": True,
    "gemma3": True,
    "gpt-oss": True,
    "cohere2": True,
}


SHOWN = (*(name for name, obeyed in BY_TYPES.items() if obeyed), "llama", "mistral", "mixtral", "olmo2", "qwen3-moe")


@pytest.mark.parametrize("name", mostly_long(BY_TYPES, SHOWN))
def test_layer_types_are_obeyed_where_transformers_obeys_them(name: str) -> None:
    """A window in the second layer alone, shorter than the text, as no family has it by default; those that do not
    obey have it in all layers, or in none."""
    types = ["full_attention", "sliding_attention"]
    hf_config = tiny_config(name, sliding_window=5, use_sliding_window=True, layer_types=types)
    assert hf_config.to_dict()["layer_types"] == types
    require(stages.logits(stages.Sides(pair_of_config(name, hf_config)), GENERIC))
    found = [type(config_of(hf_config).attention_of(layer)) for layer in range(2)]
    assert (found == [Full, Local]) == BY_TYPES[name]


def test_exaone_4_without_windows_turns_in_all_layers() -> None:
    """Transformers makes no such config but from `layer_types`."""
    hf_config = tiny_config("exaone4", sliding_window=None, layer_types=["full_attention"] * 2)
    assert isinstance(config_of(hf_config).position, RoPE)
    require(stages.logits(stages.Sides(pair_of_config("exaone4", hf_config)), GENERIC))


def test_the_decoder_of_gemma_3_with_images_is_read_by_itself(tmp_path: Path) -> None:
    from safetensors.numpy import load_file
    from transformers import AutoConfig

    text = dict(CONFIGS["gemma3"].tiny["gemma3"].settings)
    sizes = dict.fromkeys(("hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads"), 2)
    vision = {"model_type": "siglip_vision_model", **sizes, "image_size": 28, "patch_size": 14}
    ids = {"image_token_index": 90, "boi_token_index": 91, "eoi_token_index": 92, "mm_tokens_per_image": 4}
    hf_config = AutoConfig.for_model("gemma3", text_config=text, vision_config=vision, **ids)
    at = stages.Sides(pair_of_config("gemma3", hf_config))
    assert config_of(hf_config) == config_of(CONFIG_OF["gemma3"])
    for stage in (stages.weights, stages.taps, stages.logits):
        require(stage(at, GENERIC))
    model = hf_model(hf_config, "float32")
    model.save_pretrained(tmp_path)
    found, told = load_file(tmp_path / "model.safetensors"), json.loads((tmp_path / "config.json").read_text())
    theirs = {key: value.detach().numpy() for key, value in model.named_parameters()}
    shapes = at.candidate.candidate.shapes
    expected = from_huggingface(theirs, hf_config, shapes)
    for key, value in from_huggingface(found, told, shapes).items():
        np.testing.assert_array_equal(value, expected[key])
    with pytest.raises(UserError, match="gemma3 is read, not written: its decoder is written as gemma3_text"):
        hf_config_of(config_of(hf_config), "gemma3")


@pytest.mark.parametrize("biases", [(True, True), (False, True), (False, False)])
def test_seed_oss_has_biases_where_they_are_asked_for(biases: tuple[bool, bool]) -> None:
    hf_config = tiny_config("seed-oss", **dict(zip(("attention_bias", "attention_out_bias"), biases, strict=True)))
    at = stages.Sides(pair_of_config("seed-oss", hf_config))
    for stage in (stages.weights, stages.logits):
        require(stage(at, GENERIC))
    assert (
        config_of(hf_config_of(config_of(hf_config), "seed_oss")).attention_bias == config_of(hf_config).attention_bias
    )


def test_gemma_3_does_not_cap_scores() -> None:
    """It has the setting, and does not hand it on to its attention."""
    hf_config = tiny_config("gemma3", attn_logit_softcapping=0.5)
    require(stages.logits(stages.Sides(pair_of_config("gemma3", hf_config)), GENERIC))


@pytest.mark.parametrize(
    ("name", "width"),
    [("gpt2", "n_inner"), ("gpt-bigcode", "n_inner"), ("opt", "ffn_dim"), ("gpt-neo", "intermediate_size")],
)
def test_a_plain_mlp_has_any_width(name: str, width: str) -> None:
    at = stages.Sides(pair_of_config(name, tiny_config(name, **{width: 50})))
    assert at.candidate.candidate.shapes["blocks.0.mlp.up.kernel"].shape == (32, 50)
    for stage in (stages.weights, stages.logits):
        require(stage(at, GENERIC))


SWAPPED = {  # by family: what changes places in its table, which stays a bijection
    "gpt2": (("chunk(0,3,", "chunk(1,3,"),),
    "gpt_bigcode": (("rows(32,40)", "rows(40,48)"),),
    "opt": (("rows(2,)", "rows(0,64)"), ("rows(0,2)", "rows(64,66)")),
    "gpt_neo": (("ln_1", "ln_2"),),
    "falcon": (("per_head(4,6,1)", "per_head(5,6,1)"),),
    "mpt": (("chunk(1,3,", "chunk(2,3,"),),
    "gptj": (("halves(4,4)", "halves(4,2)"),),
    "codegen": (("per_head(1,3,", "per_head(2,3,"),),
    "phi": (("q_proj.bias", "dense.bias"),),
    "cohere2": (("halves(4)", "halves(8)"),),
    "nemotron": (("k_proj", "v_proj"),),
    "gpt_neox": (("per_head(0,3,", "per_head(1,3,"),),
    "stablelm": (("input_layernorm", "post_attention_layernorm"),),
    "cohere": (("halves(4)", "halves(8)"),),
    "phi3": (("rows(32,48)", "rows(48,64)"),),
    "olmo": (("k_proj", "v_proj"),),
    "starcoder2": (("q_proj.bias", "o_proj.bias"),),
    "llama": (("o_proj.weight : T", "o_proj.weight"),),
    "mistral": (("k_proj", "v_proj"),),
    "mixtral": (("chunk(0,2,", "chunk(1,2,"),),
    "qwen2": (("q_proj.bias", "q_proj.bias : halves(4)"),),
    "qwen3": (("q_norm", "k_norm"),),
    "qwen3_moe": (("mlp.gate.weight : T", "mlp.gate.weight : reshape(32,4)"),),
    "smollm3": (("gate_proj", "up_proj"),),
    "granite": (("q_proj.weight : T", "q_proj.weight"),),
    "olmo3": (("post_attention_layernorm", "post_feedforward_layernorm"),),
    "olmoe": (("chunk(0,2,", "chunk(1,2,"),),
    "qwen2_moe": (("shared_expert.gate_proj", "shared_expert.up_proj"),),
    "arcee": (("q_proj.weight : T", "q_proj.weight"),),
    "seed_oss": (("k_proj", "v_proj"),),
    "ministral": (("k_proj", "v_proj"),),
    "vaultgemma": ((".input_layernorm.weight : plus(1)", ".input_layernorm.weight"),),
    "exaone4": (("q_norm", "k_norm"),),
    "flex_olmo": (("post_attention_layernorm", "post_feedforward_layernorm"),),
    "granitemoe": (("chunk(0,2,1)", "chunk(1,2,1)"),),
    "granitemoeshared": (("chunk(0,2,0)", "chunk(1,2,0)"),),
    "olmo2": (("post_attention_layernorm", "post_feedforward_layernorm"),),
    "gemma": ((".input_layernorm.weight : plus(1)", ".input_layernorm.weight"),),
    "gemma2": ((".pre_feedforward_layernorm.weight : plus(1)", ".pre_feedforward_layernorm.weight"),),
    "gemma3_text": (("self_attn.q_norm.weight : plus(1)", "self_attn.q_norm.weight"),),
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
    "opt": lambda config: replace(config, mlp=replace(config.mlp, activation="silu")),
    "llama": lambda config: replace(config, position=RoPE(theta=10_001.0)),
    "llama-linear": lambda config: replace(config, position=RoPE(1000.0, LinearScaling(3.01))),
    "llama-llama3": lambda config: with_scaling(config, low_frequency=1.01),
    "llama-yarn": lambda config: with_scaling(config, attention_factor=1.0),
    "gpt-neo": lambda config: replace(config, score_scale=None),
    "falcon-new": lambda config: replace(config, position=RoPE(theta=10_001.0)),
    "mpt": lambda config: replace(config, attention=Full(alibi=7.9)),
    "gptj": lambda config: replace(config, position=RoPE(channels=2)),
    "codegen": lambda config: replace(config, norm=LayerNorm(1e-6)),
    "phi": lambda config: replace(config, mlp=replace(config.mlp, activation="gelu")),
    "cohere2": lambda config: replace(config, position=RoPE()),
    "nemotron": lambda config: replace(config, mlp=replace(config.mlp, activation="relu")),
    "gpt-neox": lambda config: replace(config, residual="sequential"),
    "gpt-neox-sequential": lambda config: replace(config, position=replace(config.position, channels=None)),
    "stablelm": lambda config: replace(config, position=replace(config.position, channels=4)),
    "cohere": lambda config: replace(config, logit_scale=0.0626),
    "phi3-partial": lambda config: replace(config, position=RoPE(channels=2)),
    "olmo-clipped": lambda config: replace(config, qkv_clip=0.51),
    "starcoder2": lambda config: replace(config, mlp=replace(config.mlp, activation="gelu")),
    "mistral": lambda config: replace(config, attention=Local(window=6)),
    "mixtral": lambda config: replace(config, mlp=replace(config.mlp, gates="all")),
    "qwen2": lambda config: replace(config, attention=Full()),
    "qwen3": lambda config: replace(config, qk_norm=RMSNorm(1e-5)),
    "qwen3-moe": lambda config: replace(config, mlp=replace(config.mlp, gates="chosen")),
    "smollm3": lambda config: replace(config, position=config.position[0]),
    "smollm3-four-layers": lambda config: replace(config, attention=Local(window=5)),
    "granite": lambda config: replace(config, residual_scale=0.221),
    "granite-biased": lambda config: replace(config, score_scale=None),
    "olmo3": lambda config: replace(config, position=config.position[1]),
    "olmo3-four-layers": lambda config: replace(config, attention=Local(window=5)),
    "olmoe": lambda config: replace(config, mlp=replace(config.mlp, gates="chosen")),
    "olmoe-renormalised": lambda config: replace(config, norm=RMSNorm(1e-6)),
    "qwen2-moe": lambda config: replace(config, mlp=replace(config.mlp, top_k=1)),
    "qwen2-moe-renormalised": lambda config: replace(config, position=RoPE(9_999.0)),
    "qwen2-moe-four-layers": lambda config: replace(config, attention=(Local(window=5), Full())),
    "arcee": lambda config: replace(config, mlp=replace(config.mlp, activation="relu")),
    "seed-oss": lambda config: replace(config, norm=RMSNorm(1.1e-6)),
    "ministral": lambda config: replace(config, attention=tuple(reversed(config.attention))),
    "vaultgemma": lambda config: replace(config, logit_softcap=6.01),
    "exaone4": lambda config: replace(config, position=config.position[0]),
    "flex-olmo": lambda config: replace(config, qk_norm=RMSNorm(1.1e-6)),
    "granitemoe": lambda config: replace(config, logit_scale=6.0),
    "granitemoeshared": lambda config: replace(config, mlp=replace(config.mlp, gates="all")),
    "olmo2": lambda config: replace(config, qk_norm=RMSNorm(1e-6)),
    "gemma": lambda config: replace(config, embed_scale=5.65625),  # the root of 32 in bfloat16
    "gemma2": lambda config: replace(config, score_scale=None),
    "gemma3": lambda config: replace(config, position=tuple(reversed(config.position))),
    "gemma3-six-layers": lambda config: replace(config, position=RoPE(1e4)),
    "gpt-oss": lambda config: with_scaling(config, truncate=True),
}


def with_scaling(config: DecoderConfig, **values: Any) -> DecoderConfig:
    position: Any = config.position
    return replace(config, position=replace(position, scaling=replace(position.scaling, **values)))


@pytest.mark.parametrize("name", mostly_long(WRONG_VALUES, (*BY_FAMILY.values(), *FAMILIES["llama"].tiny)))
def test_a_wrong_value_shows_in_the_logits(name: str) -> None:
    pair = sides(name).pair
    wrong = stages.Sides(with_config(pair, WRONG_VALUES[name](config_of(CONFIG_OF[name]))))
    require(stages.weights(wrong, GENERIC))
    with pytest.raises(Difference):
        require(stages.logits(wrong, GENERIC))


def with_config(pair: Pair, config: DecoderConfig) -> Pair:
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
def test_there_and_back_is_the_same_in_every_bit(name: str, tmp_path: Path) -> None:
    """Weights of transformers become ours, ours become files, and transformers reads the same model from them."""
    from safetensors.numpy import load_file, save_file
    from transformers import AutoModelForCausalLM

    model, kind = hf_model(CONFIG_OF[name], "float32"), CONFIG_OF[name].model_type
    theirs = {key: value.detach().numpy() for key, value in model.named_parameters()}
    shapes = sides(name).candidate.candidate.shapes
    config = config_of(CONFIG_OF[name])
    ours = from_huggingface(theirs, CONFIG_OF[name], shapes)
    files = to_huggingface(ours, config, kind)
    (tmp_path / "config.json").write_text(json.dumps(hf_config_of(config, kind)))
    save_file({key: np.ascontiguousarray(value) for key, value in files.items()}, tmp_path / "model.safetensors")
    again, report = AutoModelForCausalLM.from_pretrained(
        tmp_path, attn_implementation="eager", output_loading_info=True
    )
    assert not any(report[each] for each in ("missing_keys", "unexpected_keys", "mismatched_keys"))
    back = {key: value.detach().numpy() for key, value in again.named_parameters()}
    if kind == "opt":  # the rows for padding are never read
        theirs["model.decoder.embed_positions.weight"][:2] = 0
    assert {key: value.tobytes() for key, value in back.items()} == {key: v.tobytes() for key, v in theirs.items()}
    tokens = torch.arange(24).reshape(2, 12)
    assert torch.equal(with_plain_experts(again.eval())(tokens).logits, model(tokens).logits)
    saved = load_file(tmp_path / "model.safetensors")
    model.save_pretrained(tmp_path / "theirs")
    assert set(saved) == set(load_file(tmp_path / "theirs" / "model.safetensors")), "the names are those of their files"
    read_again = from_huggingface(saved, json.loads((tmp_path / "config.json").read_text()), shapes)
    assert {key: value.tobytes() for key, value in read_again.items()} == {
        key: value.tobytes() for key, value in ours.items()
    }


def test_what_files_hold_beside_parameters_is_left_out() -> None:
    """OpenAI's GPT-2 has its masks, and names without a prefix; others hold tied heads twice, or rotary frequencies."""
    gpt2, llama = (dict(sides(name).transfer.shapes) for name in ("gpt2", "llama-tied"))
    bare: dict[str, Any] = {name.removeprefix("transformer."): shape for name, shape in gpt2.items()}
    more = {"h.0.attn.bias": (1, 1, 64, 64), "h.1.attn.masked_bias": ()}
    twice = {"lm_head.weight": (97, 32), "model.layers.0.self_attn.rotary_emb.inv_freq": (4,)}
    for name, shapes in (("gpt2", {**bare, **more}), ("llama-tied", {**llama, **twice})):
        rules = WeightRules.parse(rules_of(CONFIG_OF[name]))
        assert not rules.plan(sides(name).candidate.candidate.shapes, shapes).problems
    untied = {**sides("llama").transfer.shapes, "model.layers.7.mlp.up_proj.weight": (48, 32)}
    with pytest.raises(UserError, match=r"layers\.7\.mlp\.up_proj\.weight .* goes nowhere"):
        WeightRules.parse(rules_of(CONFIG_OF["llama"])).plan(
            sides("llama").candidate.candidate.shapes, untied
        ).require()


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_activations_by_their_names(name: str) -> None:
    import jax
    from transformers.activations import ACT2FN

    from jaxdec.layers.mlp import ACTIVATIONS as OURS

    # Near -6 the forms with tanh are x / 2 times 1 + tanh, where all digits but an ulp of 1 cancel: the last digits of
    # two libraries differ. Another form of GELU is off by 1e-4.
    x = np.linspace(-6, 6, 101)
    ulps_of_one = 4 * np.abs(x).max() * np.finfo(np.float64).eps
    with jax.enable_x64(True), everything_in_float64():
        ours, theirs = OURS[ACTIVATIONS[name]](x), ACT2FN[name](torch.tensor(x))
    np.testing.assert_allclose(ours, theirs, rtol=1e-14, atol=ulps_of_one)


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
    """Why the mode is needed: what is left without it is a thousand times the tolerance."""
    tokens = torch.arange(24).reshape(2, 12)
    half = hf_model(CONFIG_OF["llama"], "float32").double()
    with everything_in_float64():
        whole = hf_model(CONFIG_OF["llama"], "float64")
        whole.load_state_dict(half.state_dict())
        true = whole(tokens).logits
    error = ((half(tokens).logits - true).norm() / true.norm()).item()
    assert 1e-8 < error < 1e-5
