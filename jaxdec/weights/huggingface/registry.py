"""Decoders of Hugging Face's transformers as ours: what a config means, family by family.

`config_of` gives the model that computes the same function, `rules_of` the table (`parity.rules`) that carries its
weights over. Both read a transformers config object, or a dict as in `config.json`: transformers need not be installed.
Dropout is left out: it is a choice of a training run (`dataclasses.replace(config, dropout=...)`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, NamedTuple

from jaxdec.config.model import DecoderConfig
from jaxdec.config.parts import MLP, GatedMLP, LayerNorm, MoE, RMSNorm
from jaxdec.errors import UserError, nearest
from jaxdec.weights.huggingface import rules, taps
from jaxdec.weights.huggingface.settings import ACTIVATIONS, Settings, patterns_of, rope_of, shortest


def config_of(hf_config: Any) -> DecoderConfig:
    """The config of a model that computes the same function, its parameters in another layout.

    Raises UserError, naming the setting, where our decoder has no such part.
    """
    settings = Settings(hf_config)
    return _family(settings).config(settings)


def rules_of(hf_config: Any) -> str:
    """The rule table from the names of `named_parameters()` to ours. Raises UserError as `config_of` does."""
    settings = Settings(hf_config)
    family = _family(settings)
    config = family.config(settings)
    return family.rules(config) + rules.left_out(config)


def taps_of(hf_config: Any) -> str:
    """The table of modules that return the same, to compare activations by. Raises UserError as `config_of` does."""
    settings = Settings(hf_config)
    family = _family(settings)
    return family.taps(family.config(settings))


def _family(settings: Settings) -> Family:
    kind = settings.model_type
    if kind not in FAMILIES:
        raise UserError(f"model_type {kind!r} is not supported{nearest(kind, FAMILIES)}: see docs/huggingface.md")
    return FAMILIES[kind]


def _gpt2(settings: Settings, activation: str = "gelu_new") -> DecoderConfig:
    settings.only(scale_attn_weights=True, scale_attn_by_inverse_layer_idx=False, add_cross_attention=False)
    width = settings.whole("n_embd")
    return DecoderConfig(
        layers=settings.whole("n_layer"),
        heads=settings.whole("n_head"),
        width=width,
        context=settings.whole("n_positions"),
        vocab_size=settings.whole("vocab_size"),
        norm=LayerNorm(settings("layer_norm_epsilon", 1e-5)),
        mlp=_mlp(settings, "n_inner", "activation_function", activation, width),
        tied_head=settings("tie_word_embeddings", True),
        init_std=settings("initializer_range", 0.02),
    )


def _gpt_bigcode(settings: Settings) -> DecoderConfig:
    """GPT-2 whose heads share one key and one value (Shazeer 2019)."""
    config = _gpt2(settings, activation="gelu_pytorch_tanh")
    return replace(config, kv_heads=1) if settings("multi_query", True) else config


def _opt(settings: Settings) -> DecoderConfig:
    """GPT-2's wiring with ReLU, and position rows that start at 2 (`huggingface_rules.OPT`)."""
    width = settings.whole("hidden_size")
    settings.only(do_layer_norm_before=True, _remove_final_layer_norm=False, layer_norm_elementwise_affine=True)
    settings.only(enable_bias=True, word_embed_proj_dim=width)
    return DecoderConfig(
        layers=settings.whole("num_hidden_layers"),
        heads=settings.whole("num_attention_heads"),
        width=width,
        context=settings.whole("max_position_embeddings"),
        vocab_size=settings.whole("vocab_size"),
        norm=LayerNorm(1e-5),
        mlp=_mlp(settings, "ffn_dim", "activation_function", "relu", width),
        tied_head=settings("tie_word_embeddings", True),
        init_std=settings("init_std", 0.02),
    )


def _mlp(settings: Settings, hidden: str, activation: str, default: str, width: int) -> MLP:
    channels = settings(hidden, 4 * width)
    if channels % width:
        raise settings.unsupported(hidden, channels, f"an MLP has a multiple of the width {width}")
    name = settings(activation, default)
    return MLP(channels // width, settings.choice(activation, name, ACTIVATIONS))


def _llama(settings: Settings, theta: float = 10_000.0, **parts: Any) -> DecoderConfig:
    """What the families with rotary positions, RMS norms and gated layers share; `parts` replace some of it."""
    shared: dict[str, Any] = {
        "layers": settings.whole("num_hidden_layers"),
        "heads": settings.whole("num_attention_heads"),
        "width": settings.whole("hidden_size"),
        "context": settings.whole("max_position_embeddings"),
        "vocab_size": settings.whole("vocab_size"),
        "kv_heads": settings("num_key_value_heads"),
        "head_dim": settings("head_dim"),
        "position": rope_of(settings, theta),
        "norm": _rms_norm(settings),
        "mlp": _gated(settings),
        "bias": settings("mlp_bias", False),
        "attention_bias": settings("attention_bias", False),
        "tied_head": settings("tie_word_embeddings", False),
        "init_std": settings("initializer_range", 0.02),
    }
    return DecoderConfig(**{**shared, **parts})


def _rms_norm(settings: Settings) -> RMSNorm:
    return RMSNorm(settings("rms_norm_eps", 1e-6))


def _gated(settings: Settings, hidden: str = "intermediate_size", activation: str = "hidden_act") -> GatedMLP:
    name = settings(activation, "silu")
    return GatedMLP(settings.whole(hidden), activation=settings.choice(activation, name, ACTIVATIONS))


def _mixture(settings: Settings, expert: GatedMLP, **parts: Any) -> MoE:
    """Without capacities, so that no token is dropped, and without auxiliary losses, which transformers adds only where
    `output_router_logits` asks for them."""
    return MoE(
        experts=settings("num_local_experts") or settings.whole("num_experts"),
        top_k=settings.whole("num_experts_per_tok"),
        expert=expert,
        capacity_factor=None,
        eval_capacity_factor=None,
        balance_loss=0.0,
        z_loss=0.0,
        **parts,
    )


def _mistral(settings: Settings, **parts: Any) -> DecoderConfig:
    """The same window in every layer."""
    attention = patterns_of(settings, [True] * settings.whole("num_hidden_layers"))
    return _llama(settings, **{"attention": attention, "attention_bias": False, "bias": False, **parts})


def _mixtral(settings: Settings) -> DecoderConfig:
    return _mistral(settings, theta=1e6, mlp=_mixture(settings, _gated(settings)))


def _qwen2(settings: Settings, **parts: Any) -> DecoderConfig:
    """Windows, where they are used, from layer `max_window_layers` on."""
    used, first = settings("use_sliding_window", False), settings("max_window_layers", 28)
    local = [used and layer >= first for layer in range(settings.whole("num_hidden_layers"))]
    own = {"attention": patterns_of(settings, local), "attention_bias": "qkv", "bias": False}
    return _llama(settings, **{**own, **parts})


def _qwen3(settings: Settings, **parts: Any) -> DecoderConfig:
    own = {"qk_norm": _rms_norm(settings), "attention_bias": settings("attention_bias", False)}
    return _qwen2(settings, **{"head_dim": settings("head_dim", 128), **own, **parts})


def _qwen3_moe(settings: Settings) -> DecoderConfig:
    """Every `decoder_sparse_step`-th layer is a mixture; where a window is used, all layers have it."""
    layers, step = settings.whole("num_hidden_layers"), settings("decoder_sparse_step", 1)
    gates = "chosen" if settings("norm_topk_prob", False) else "all"
    mixture = _mixture(settings, _gated(settings, "moe_intermediate_size"), gates=gates)
    dense = settings("mlp_only_layers", [])
    mlp = [mixture if layer not in dense and (layer + 1) % step == 0 else _gated(settings) for layer in range(layers)]
    attention = patterns_of(settings, [settings("use_sliding_window", False)] * layers)
    return _qwen3(settings, mlp=shortest(mlp), attention=attention, head_dim=settings("head_dim"))


def _olmo2(settings: Settings) -> DecoderConfig:
    """Norms of what a branch returns, and of all channels of the queries, and of the keys, together."""
    return _llama(settings, branch_norm="post", qk_norm=_rms_norm(settings), qk_norm_over="all", bias=False)


def _gemma2(settings: Settings) -> DecoderConfig:
    """Norms before and after each branch, capped scores and logits, windows in every second layer."""
    settings.only(use_bidirectional_attention=False)
    local = [layer % 2 == 0 for layer in range(settings.whole("num_hidden_layers"))]
    return _llama(
        settings,
        head_dim=settings("head_dim", 256),
        branch_norm="both",
        attention=patterns_of(settings, local, softcap=settings.values.get("attn_logit_softcapping", 50.0)),
        score_scale=settings("query_pre_attn_scalar", 256) ** -0.5,
        mlp=_gated(settings, activation="hidden_activation"),
        bias=False,
        embed_scale=settings.whole("hidden_size") ** 0.5,
        tied_head=settings("tie_word_embeddings", True),
        logit_softcap=settings.values.get("final_logit_softcapping", 30.0),
    )


def _gpt_oss(settings: Settings) -> DecoderConfig:
    """A sink in every head, biased experts with a clamped gate, windows in every second layer."""
    settings.only(swiglu_alpha=1.702)
    expert = GatedMLP(
        settings.whole("intermediate_size"),
        activation="gelu_sigmoid",
        clamp=settings("swiglu_limit", 7.0),
        up_shift=1.0,
    )
    local = [layer % 2 == 0 for layer in range(settings.whole("num_hidden_layers"))]
    return _llama(
        settings,
        theta=150_000.0,
        head_dim=settings("head_dim", 64),
        attention=patterns_of(settings, local, sink=0.0),
        mlp=_mixture(settings, expert, router_bias=True),
        bias=True,
        attention_bias=settings("attention_bias", True),
    )


class Family(NamedTuple):
    """How to read a config, and where weights and activations stand in the model."""

    config: Callable[[Settings], DecoderConfig]
    rules: Callable[[DecoderConfig], str]
    taps: Callable[[DecoderConfig], str]


FAMILIES: Mapping[str, Family] = {
    "gpt2": Family(_gpt2, rules.gpt2, taps.gpt2),
    "gpt_bigcode": Family(_gpt_bigcode, rules.gpt_bigcode, taps.gpt2),
    "opt": Family(_opt, rules.opt, taps.opt),
    "llama": Family(_llama, rules.llama, taps.llama),
    "mistral": Family(_mistral, rules.llama, taps.llama),
    "mixtral": Family(_mixtral, rules.mixtral, taps.llama),
    "qwen2": Family(_qwen2, rules.llama, taps.llama),
    "qwen3": Family(_qwen3, rules.llama, taps.llama),
    "qwen3_moe": Family(_qwen3_moe, rules.qwen3_moe, taps.llama),
    "olmo2": Family(_olmo2, rules.olmo2, taps.llama),
    "gemma2": Family(_gemma2, rules.gemma2, taps.llama),
    "gpt_oss": Family(_gpt_oss, rules.gpt_oss, taps.gpt_oss),
}
