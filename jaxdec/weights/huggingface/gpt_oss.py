"""GPT-OSS (OpenAI 2025): a sink in every head, biased experts with a clamped gate, windows in every second layer."""

from __future__ import annotations

from typing import Any

from jaxdec.config.model import DecoderConfig
from jaxdec.config.parts import GatedMLP
from jaxdec.weights.huggingface import layers, llama_like, rotary
from jaxdec.weights.huggingface.family import Family, Refused, TinyConfig
from jaxdec.weights.huggingface.llama_like import RAMP, TINY_MIXTURE, tiny_rope
from jaxdec.weights.huggingface.settings import HFSettings
from jaxdec.weights.huggingface.tables import Table

# Gate and up are the even and odd channels of one tensor [experts, width, 2 hidden].
EXPERTS = {
    "mlp.router.kernel": "mlp.router.weight : T",
    "mlp.router.bias": "mlp.router.bias",
    "mlp.experts.gate": "mlp.experts.gate_up_proj : every(0,2,2)",
    "mlp.experts.gate_bias": "mlp.experts.gate_up_proj_bias : every(0,2,1)",
    "mlp.experts.up": "mlp.experts.gate_up_proj : every(1,2,2)",
    "mlp.experts.up_bias": "mlp.experts.gate_up_proj_bias : every(1,2,1)",
    "mlp.experts.down": "mlp.experts.down_proj",
    "mlp.experts.down_bias": "mlp.experts.down_proj_bias",
}


def read(settings: HFSettings) -> DecoderConfig:
    settings.only(swiglu_alpha=1.702)
    expert = GatedMLP(
        settings.whole("intermediate_size"),
        activation="gelu_sigmoid",
        clamp=settings.number("swiglu_limit"),
        up_shift=1.0,
    )
    local = [layer % 2 == 0 for layer in range(settings.whole("num_hidden_layers"))]
    return llama_like.read(
        settings,
        attention=layers.windows_by_type(settings, local, sink=0.0),
        mlp=llama_like.read_mixture(settings, expert, router_bias=True),
        bias=True,
    )


def write(config: DecoderConfig) -> dict[str, Any]:
    mixture, expert = llama_like.write_mixture(config)
    return {
        **llama_like.write(config),
        **layers.write_types(config),
        **mixture,
        "intermediate_size": expert.hidden,
        "swiglu_limit": expert.clamp,
        "attention_bias": config.out_bias,
    }


def parameters(config: DecoderConfig) -> Table:
    return llama_like.parameters(config, EXPERTS)


def taps(config: DecoderConfig) -> Table:
    return llama_like.taps(config, router={"mlp.router": "mlp.router"})


GPT_OSS = Family(
    model_type="gpt_oss",
    architecture="GptOssForCausalLM",
    summary="as `llama`, with sinks, biased and clamped experts, a router bias, every second layer local or as "
    "`layer_types` says, YaRN with `truncate=False`",
    read=read,
    write=write,
    parameters=parameters,
    taps=taps,
    defaults={
        **llama_like.DEFAULTS,
        "num_key_value_heads": 8,
        "head_dim": 64,
        "rms_norm_eps": 1e-5,
        "rope_theta": 150_000.0,
        "rope_parameters": {
            "rope_type": "yarn",
            "factor": 32.0,
            "beta_fast": 32.0,
            "beta_slow": 1.0,
            "truncate": False,
            "original_max_position_embeddings": 4096,
        },
        "attention_bias": True,
        "sliding_window": 128,
        "num_local_experts": 128,
        "num_experts_per_tok": 4,
        "swiglu_limit": 7.0,
    },
    tiny={
        "gpt-oss": TinyConfig(
            "sinks, clamped experts, YaRN not rounded",
            {
                **TINY_MIXTURE,
                "head_dim": 16,
                "sliding_window": 5,
                "num_local_experts": 4,
                "swiglu_limit": 1.0,
                **tiny_rope("yarn", truncate=False, **RAMP),
            },
        )
    },
    refused=(
        *rotary.REFUSED,
        *layers.REFUSED,
        layers.NO_WINDOW,
        Refused("swiglu_alpha", 2.0, "the activation `gelu_sigmoid` has the number 1.702"),
    ),
)
