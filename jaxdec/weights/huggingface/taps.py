"""Which module of a Hugging Face decoder returns what which of ours returns: tables of taps, ours on the left.

Query, key and value are one product on our side, gate and up too, and experts work on slots: they are not tapped.
"""

from __future__ import annotations

from jaxdec.config.model import DecoderConfig
from jaxdec.config.parts import MoE

GPT2 = """
token_embed <- transformer.wte
position_embed <- transformer.wpe
blocks.{i}.attention_norm <- transformer.h.{i}.ln_1
blocks.{i}.attention.out <- transformer.h.{i}.attn.c_proj
blocks.{i}.attention <- transformer.h.{i}.attn
blocks.{i}.mlp_norm <- transformer.h.{i}.ln_2
blocks.{i}.mlp.up <- transformer.h.{i}.mlp.c_fc
blocks.{i}.mlp.down <- transformer.h.{i}.mlp.c_proj
blocks.{i}.mlp <- transformer.h.{i}.mlp
blocks.{i} <- transformer.h.{i}
final_norm <- transformer.ln_f
"""
# The position table of OPT is called with a mask, and its feed-forward layer is no module of its own.
OPT = """
token_embed <- model.decoder.embed_tokens
blocks.{i}.attention_norm <- model.decoder.layers.{i}.self_attn_layer_norm
blocks.{i}.attention.out <- model.decoder.layers.{i}.self_attn.out_proj
blocks.{i}.attention <- model.decoder.layers.{i}.self_attn
blocks.{i}.mlp_norm <- model.decoder.layers.{i}.final_layer_norm
blocks.{i}.mlp.up <- model.decoder.layers.{i}.fc1
blocks.{i}.mlp.down <- model.decoder.layers.{i}.fc2
blocks.{i} <- model.decoder.layers.{i}
final_norm <- model.decoder.final_layer_norm
"""
LAYERS = """
blocks.{i}.attention.out <- model.layers.{i}.self_attn.o_proj
blocks.{i}.attention <- model.layers.{i}.self_attn
blocks.{i}.mlp <- model.layers.{i}.mlp
blocks.{i} <- model.layers.{i}
final_norm <- model.norm
"""
QK_NORM = """
blocks.{i}.attention.query_norm <- model.layers.{i}.self_attn.q_norm
blocks.{i}.attention.key_norm <- model.layers.{i}.self_attn.k_norm
"""
DENSE = "blocks.{i}.mlp.down <- model.layers.{i}.mlp.down_proj\n"
NORMS = {
    "pre": """
blocks.{i}.attention_norm <- model.layers.{i}.input_layernorm
blocks.{i}.mlp_norm <- model.layers.{i}.post_attention_layernorm
""",
    "post": """
blocks.{i}.attention_post_norm <- model.layers.{i}.post_attention_layernorm
blocks.{i}.mlp_post_norm <- model.layers.{i}.post_feedforward_layernorm
""",
    "both": """
blocks.{i}.attention_norm <- model.layers.{i}.input_layernorm
blocks.{i}.attention_post_norm <- model.layers.{i}.post_attention_layernorm
blocks.{i}.mlp_norm <- model.layers.{i}.pre_feedforward_layernorm
blocks.{i}.mlp_post_norm <- model.layers.{i}.post_feedforward_layernorm
""",
}


def gpt2(config: DecoderConfig) -> str:
    return GPT2


def opt(config: DecoderConfig) -> str:
    return OPT


def llama(config: DecoderConfig, router: str = "gate") -> str:
    """The modules that a config has. Gemma's embedding returns its rows times the scale, ours the rows."""
    routed = [isinstance(config.mlp_of(layer), MoE) for layer in range(config.layers)]
    return "".join(
        [
            "token_embed <- model.embed_tokens\n" if config.embed_scale is None else "",
            NORMS[config.branch_norm],
            QK_NORM if config.qk_norm is not None else "",
            f"blocks.{{i}}.mlp.router <- model.layers.{{i}}.mlp.{router}\n" if any(routed) else "",
            "" if all(routed) else DENSE,
            LAYERS,
        ]
    )


def gpt_oss(config: DecoderConfig) -> str:
    return llama(config, router="router")
