"""Pairs of transformers' decoders with ours, from tiny configs with random weights: nothing is downloaded.

`PAIRS["hf:llama"]()` is the pair. Each config shows something that would otherwise hide: fewer keys than queries,
heads of other than width / heads channels, windows shorter than the text, rotary settings whose ramp lies inside the
pairs. None has a padding token, to whose embedding torch gives no gradient.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

from jaxdec.errors import UserError
from jaxdec.parity.pair import Pair

if TYPE_CHECKING:
    import torch


BATCH_SIZE, WINDOW = 2, 12
SIZES: dict[str, Any] = {
    "vocab_size": 97,
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "max_position_embeddings": 64,
    "bos_token_id": None,
    "eos_token_id": None,
}
SIZES_GPT2: dict[str, Any] = {
    "vocab_size": 97,
    "n_embd": 32,
    "n_layer": 2,
    "n_head": 4,
    "n_positions": 64,
    "bos_token_id": None,
    "eos_token_id": None,
}
LLAMA: dict[str, Any] = dict(SIZES, intermediate_size=48, num_key_value_heads=2, pad_token_id=None)
ROUTED: dict[str, Any] = dict(LLAMA, num_experts_per_tok=2)


def rope(kind: str, **settings: Any) -> dict[str, Any]:
    return {"rope_parameters": {"rope_type": kind, "rope_theta": 1000.0, **settings}}


RAMP: dict[str, Any] = {"factor": 4.0, "original_max_position_embeddings": 16, "beta_fast": 2.0, "beta_slow": 0.25}
CONFIGS: Mapping[str, tuple[str, Mapping[str, Any]]] = {  # the class of the config, and what it is made with
    "gpt2": ("GPT2Config", SIZES_GPT2),
    "gpt-bigcode": ("GPTBigCodeConfig", SIZES_GPT2),
    "gpt-bigcode-multi-head": ("GPTBigCodeConfig", dict(SIZES_GPT2, multi_query=False)),
    "opt": ("OPTConfig", dict(SIZES, ffn_dim=64, pad_token_id=None)),
    "llama": ("LlamaConfig", LLAMA),
    "llama-linear": ("LlamaConfig", dict(LLAMA, **rope("linear", factor=3.0))),
    "llama-llama3": (
        "LlamaConfig",
        dict(
            LLAMA,
            **rope(
                "llama3", factor=8.0, low_freq_factor=1.0, high_freq_factor=4.0, original_max_position_embeddings=16
            ),
        ),
    ),
    "llama-yarn": ("LlamaConfig", dict(LLAMA, **rope("yarn", **RAMP))),
    "llama-tied": ("LlamaConfig", dict(LLAMA, tie_word_embeddings=True)),
    "llama-biased": ("LlamaConfig", dict(LLAMA, attention_bias=True, mlp_bias=True)),
    "llama-attention-bias": ("LlamaConfig", dict(LLAMA, attention_bias=True)),
    "llama-wide-heads": ("LlamaConfig", dict(LLAMA, head_dim=24)),
    "mistral": ("MistralConfig", dict(LLAMA, sliding_window=5)),
    "mixtral": ("MixtralConfig", dict(ROUTED, num_local_experts=4)),
    "qwen2": ("Qwen2Config", dict(LLAMA, use_sliding_window=True, sliding_window=5, max_window_layers=1)),
    "qwen3": ("Qwen3Config", dict(LLAMA, head_dim=16)),
    "qwen3-moe": ("Qwen3MoeConfig", dict(ROUTED, num_experts=4, moe_intermediate_size=24, norm_topk_prob=False)),
    "qwen3-moe-renormalised": (
        "Qwen3MoeConfig",
        dict(ROUTED, num_experts=4, moe_intermediate_size=24, norm_topk_prob=True, decoder_sparse_step=2),
    ),
    "olmo2": ("Olmo2Config", LLAMA),
    "gemma2": (
        "Gemma2Config",
        dict(
            LLAMA,
            head_dim=16,
            query_pre_attn_scalar=24,
            sliding_window=5,
            attn_logit_softcapping=4.0,
            final_logit_softcapping=6.0,
        ),
    ),
    "gpt-oss": (
        "GptOssConfig",
        dict(
            ROUTED,
            head_dim=16,
            sliding_window=5,
            num_local_experts=4,
            swiglu_limit=1.0,
            **rope("yarn", truncate=False, **RAMP),
        ),
    ),
}
GEMMA_NORMS = (
    "Gemma stores the distance of a norm's scale from one, which float32 rounds finer than the scale that is stored "
    "here: in float32 the reference's updates of norms are the more exact ones"
)


def hf_config_of(name: str) -> Any:
    """The transformers config of an entry of `CONFIGS`."""
    try:
        import transformers
    except ImportError as error:
        raise UserError(f"hf:{name} needs transformers: pip install 'jaxdec[torch,huggingface]'") from error
    kind, settings = CONFIGS[name]
    return getattr(transformers, kind)(**settings)


def hf_model(hf_config: Any, precision: str) -> torch.nn.Module:
    """transformers' own model with its own initial weights, the same at each call, in its plainest implementation."""
    import torch
    from transformers import AutoModelForCausalLM

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        dtype = getattr(torch, precision)
        model = AutoModelForCausalLM.from_config(hf_config, dtype=dtype, attn_implementation="eager").eval()
    if hasattr(model, "set_experts_implementation") and hasattr(hf_config, "num_experts_per_tok"):
        model.set_experts_implementation("eager")
    return model


def pair_of(name: str) -> Pair:
    """The pair of an entry of `CONFIGS`. Both sides train by our recipe, which decays no norm: Gemma stores a scale's
    distance from one, so that decay would pull it elsewhere. Theirs continues a text by reading it anew."""
    from jaxdec.parity.adapters.reference import Reference
    from jaxdec.parity.pairs.jax_twin import JaxTwin
    from jaxdec.parity.pairs.run import twin_run
    from jaxdec.parity.pairs.torch_twin import TorchTwin
    from jaxdec.weights.huggingface.registry import config_of, rules_of, taps_of

    hf_config = hf_config_of(name)
    run = twin_run(config_of(hf_config), batch_size=BATCH_SIZE, window=WINDOW)
    return Pair(
        name=f"hf:{name}",
        reference=Reference(partial(hf_model, hf_config), call=read, optimizer=TorchTwin(run).optimizer),
        candidate=JaxTwin(run).candidate(),
        vocab_size=run.vocab_size,
        context=run.model.context,
        weights=rules_of(hf_config),
        taps=taps_of(hf_config),
        window=WINDOW,
        batch_size=BATCH_SIZE,
        routing=run.routed,
        notes=(GEMMA_NORMS,) if hf_config.model_type == "gemma2" else (),
    )


def read(model: torch.nn.Module, batch: Mapping[str, Any]) -> Any:
    return model(batch["tokens"], use_cache=False)


PAIRS: Mapping[str, Callable[[], Pair]] = {f"hf:{name}": partial(pair_of, name) for name in CONFIGS}
