"""Weights of Hugging Face's decoders as ours: rule tables (`parity.rules`), ours on the left.

The first rule whose tensor exists is used, so that one table serves models with and without biases, norms of queries
and keys, sinks, experts or a head of their own. Stored layouts differ: `nn.Linear` is [out, in], GPT-2's Conv1D and
GPT-OSS's experts are [in, out] as ours.
"""

from __future__ import annotations

from jaxdec.config.model import DecoderConfig

GPT2 = """
token_embed.embedding <- transformer.wte.weight
position_embed.embedding <- transformer.wpe.weight
blocks.{i}.attention_norm.scale <- transformer.h.{i}.ln_1.weight
blocks.{i}.attention_norm.bias <- transformer.h.{i}.ln_1.bias
blocks.{i}.mlp_norm.scale <- transformer.h.{i}.ln_2.weight
blocks.{i}.mlp_norm.bias <- transformer.h.{i}.ln_2.bias
final_norm.scale <- transformer.ln_f.weight
final_norm.bias <- transformer.ln_f.bias
head.kernel <- lm_head.weight : T
blocks.{i}.attention.out.bias <- transformer.h.{i}.attn.c_proj.bias
blocks.{i}.mlp.up.bias <- transformer.h.{i}.mlp.c_fc.bias
blocks.{i}.mlp.down.bias <- transformer.h.{i}.mlp.c_proj.bias
"""
CONV1D = """
blocks.{i}.attention.query.kernel <- transformer.h.{i}.attn.c_attn.weight : chunk(0,3,1)
blocks.{i}.attention.query.bias <- transformer.h.{i}.attn.c_attn.bias : chunk(0,3,0)
blocks.{i}.attention.key.kernel <- transformer.h.{i}.attn.c_attn.weight : chunk(1,3,1)
blocks.{i}.attention.key.bias <- transformer.h.{i}.attn.c_attn.bias : chunk(1,3,0)
blocks.{i}.attention.value.kernel <- transformer.h.{i}.attn.c_attn.weight : chunk(2,3,1)
blocks.{i}.attention.value.bias <- transformer.h.{i}.attn.c_attn.bias : chunk(2,3,0)
blocks.{i}.attention.out.kernel <- transformer.h.{i}.attn.c_proj.weight
blocks.{i}.mlp.up.kernel <- transformer.h.{i}.mlp.c_fc.weight
blocks.{i}.mlp.down.kernel <- transformer.h.{i}.mlp.c_proj.weight
"""
BIGCODE = """
blocks.{i}.attention.out.kernel <- transformer.h.{i}.attn.c_proj.weight : T
blocks.{i}.mlp.up.kernel <- transformer.h.{i}.mlp.c_fc.weight : T
blocks.{i}.mlp.down.kernel <- transformer.h.{i}.mlp.c_proj.weight : T
"""
OPT = """
token_embed.embedding <- model.decoder.embed_tokens.weight
# Position p reads row p + 2; the first two rows were meant for padding and are never read.
position_embed.embedding <- model.decoder.embed_positions.weight : rows(2,)
- <- model.decoder.embed_positions.weight : rows(0,2)
blocks.{i}.attention_norm.scale <- model.decoder.layers.{i}.self_attn_layer_norm.weight
blocks.{i}.attention_norm.bias <- model.decoder.layers.{i}.self_attn_layer_norm.bias
blocks.{i}.attention.query.kernel <- model.decoder.layers.{i}.self_attn.q_proj.weight : T
blocks.{i}.attention.query.bias <- model.decoder.layers.{i}.self_attn.q_proj.bias
blocks.{i}.attention.key.kernel <- model.decoder.layers.{i}.self_attn.k_proj.weight : T
blocks.{i}.attention.key.bias <- model.decoder.layers.{i}.self_attn.k_proj.bias
blocks.{i}.attention.value.kernel <- model.decoder.layers.{i}.self_attn.v_proj.weight : T
blocks.{i}.attention.value.bias <- model.decoder.layers.{i}.self_attn.v_proj.bias
blocks.{i}.attention.out.kernel <- model.decoder.layers.{i}.self_attn.out_proj.weight : T
blocks.{i}.attention.out.bias <- model.decoder.layers.{i}.self_attn.out_proj.bias
blocks.{i}.mlp_norm.scale <- model.decoder.layers.{i}.final_layer_norm.weight
blocks.{i}.mlp_norm.bias <- model.decoder.layers.{i}.final_layer_norm.bias
blocks.{i}.mlp.up.kernel <- model.decoder.layers.{i}.fc1.weight : T
blocks.{i}.mlp.up.bias <- model.decoder.layers.{i}.fc1.bias
blocks.{i}.mlp.down.kernel <- model.decoder.layers.{i}.fc2.weight : T
blocks.{i}.mlp.down.bias <- model.decoder.layers.{i}.fc2.bias
final_norm.scale <- model.decoder.final_layer_norm.weight
final_norm.bias <- model.decoder.final_layer_norm.bias
head.kernel <- lm_head.weight : T
"""
LLAMA = """
token_embed.embedding <- model.embed_tokens.weight
blocks.{i}.attention.query.kernel <- model.layers.{i}.self_attn.q_proj.weight : T
blocks.{i}.attention.query.bias <- model.layers.{i}.self_attn.q_proj.bias
blocks.{i}.attention.key.kernel <- model.layers.{i}.self_attn.k_proj.weight : T
blocks.{i}.attention.key.bias <- model.layers.{i}.self_attn.k_proj.bias
blocks.{i}.attention.value.kernel <- model.layers.{i}.self_attn.v_proj.weight : T
blocks.{i}.attention.value.bias <- model.layers.{i}.self_attn.v_proj.bias
blocks.{i}.attention.out.kernel <- model.layers.{i}.self_attn.o_proj.weight : T
blocks.{i}.attention.out.bias <- model.layers.{i}.self_attn.o_proj.bias
blocks.{i}.attention.query_norm.scale <- model.layers.{i}.self_attn.q_norm.weight
blocks.{i}.attention.key_norm.scale <- model.layers.{i}.self_attn.k_norm.weight
blocks.{i}.attention.sink <- model.layers.{i}.self_attn.sinks
blocks.{i}.mlp.gate.kernel <- model.layers.{i}.mlp.gate_proj.weight : T
blocks.{i}.mlp.gate.bias <- model.layers.{i}.mlp.gate_proj.bias
blocks.{i}.mlp.up.kernel <- model.layers.{i}.mlp.up_proj.weight : T
blocks.{i}.mlp.up.bias <- model.layers.{i}.mlp.up_proj.bias
blocks.{i}.mlp.down.kernel <- model.layers.{i}.mlp.down_proj.weight : T
blocks.{i}.mlp.down.bias <- model.layers.{i}.mlp.down_proj.bias
head.kernel <- lm_head.weight : T
"""
NORMS_BEFORE = """
blocks.{i}.attention_norm.scale <- model.layers.{i}.input_layernorm.weight
blocks.{i}.mlp_norm.scale <- model.layers.{i}.post_attention_layernorm.weight
final_norm.scale <- model.norm.weight
"""
NORMS_AFTER = """
blocks.{i}.attention_post_norm.scale <- model.layers.{i}.post_attention_layernorm.weight
blocks.{i}.mlp_post_norm.scale <- model.layers.{i}.post_feedforward_layernorm.weight
final_norm.scale <- model.norm.weight
"""
# Gemma stores the distance of a norm's scale from one.
NORMS_BOTH = """
blocks.{i}.attention_norm.scale <- model.layers.{i}.input_layernorm.weight : plus(1)
blocks.{i}.attention_post_norm.scale <- model.layers.{i}.post_attention_layernorm.weight : plus(1)
blocks.{i}.mlp_norm.scale <- model.layers.{i}.pre_feedforward_layernorm.weight : plus(1)
blocks.{i}.mlp_post_norm.scale <- model.layers.{i}.post_feedforward_layernorm.weight : plus(1)
final_norm.scale <- model.norm.weight : plus(1)
"""
# Gate and up are the halves of one tensor [experts, 2 hidden, width].
EXPERTS = """
blocks.{i}.mlp.router.kernel <- model.layers.{i}.mlp.gate.weight : T
blocks.{i}.mlp.experts.gate <- model.layers.{i}.mlp.experts.gate_up_proj : chunk(0,2,1) T
blocks.{i}.mlp.experts.up <- model.layers.{i}.mlp.experts.gate_up_proj : chunk(1,2,1) T
blocks.{i}.mlp.experts.down <- model.layers.{i}.mlp.experts.down_proj : T
"""
# The files on the Hub have a tensor for each expert.
MIXTRAL_FILES = """
blocks.{i}.mlp.router.kernel <- model.layers.{i}.block_sparse_moe.gate.weight : T
blocks.{i}.mlp.experts.gate <- model.layers.{i}.block_sparse_moe.experts.{e}.w1.weight : T
blocks.{i}.mlp.experts.up <- model.layers.{i}.block_sparse_moe.experts.{e}.w3.weight : T
blocks.{i}.mlp.experts.down <- model.layers.{i}.block_sparse_moe.experts.{e}.w2.weight : T
"""
QWEN3_MOE_FILES = """
blocks.{i}.mlp.experts.gate <- model.layers.{i}.mlp.experts.{e}.gate_proj.weight : T
blocks.{i}.mlp.experts.up <- model.layers.{i}.mlp.experts.{e}.up_proj.weight : T
blocks.{i}.mlp.experts.down <- model.layers.{i}.mlp.experts.{e}.down_proj.weight : T
"""
# Gate and up are the even and odd channels of one tensor [experts, width, 2 hidden].
GPT_OSS_EXPERTS = """
blocks.{i}.mlp.router.kernel <- model.layers.{i}.mlp.router.weight : T
blocks.{i}.mlp.router.bias <- model.layers.{i}.mlp.router.bias
blocks.{i}.mlp.experts.gate <- model.layers.{i}.mlp.experts.gate_up_proj : every(0,2,2)
blocks.{i}.mlp.experts.gate_bias <- model.layers.{i}.mlp.experts.gate_up_proj_bias : every(0,2,1)
blocks.{i}.mlp.experts.up <- model.layers.{i}.mlp.experts.gate_up_proj : every(1,2,2)
blocks.{i}.mlp.experts.up_bias <- model.layers.{i}.mlp.experts.gate_up_proj_bias : every(1,2,1)
blocks.{i}.mlp.experts.down <- model.layers.{i}.mlp.experts.down_proj
blocks.{i}.mlp.experts.down_bias <- model.layers.{i}.mlp.experts.down_proj_bias
"""


# What files hold beside parameters: masks and rotary frequencies, which older versions saved.
LEFT_OUT = """
- <- h.{i}.attn.bias
- <- h.{i}.attn.masked_bias
- <- transformer.h.{i}.attn.bias
- <- transformer.h.{i}.attn.masked_bias
- <- model.layers.{i}.self_attn.rotary_emb.inv_freq
"""


def left_out(config: DecoderConfig) -> str:
    """For every family. A tied head may be in a file a second time."""
    return LEFT_OUT + "- <- lm_head.weight\n" if config.tied_head else LEFT_OUT


def gpt2(config: DecoderConfig) -> str:
    """OpenAI's own files lack the prefix."""
    return (
        GPT2
        + CONV1D
        + (GPT2 + CONV1D).replace("<- transformer.", "<- ").replace("head.kernel <- lm_head.weight : T\n", "")
    )


def gpt_bigcode(config: DecoderConfig) -> str:
    """One tensor holds all queries, then the one key and the one value; or, with as many keys as queries, query, key
    and value of the first head, then of the second."""
    source, ours = "transformer.h.{i}.attn.c_attn", "blocks.{i}.attention"
    sizes = [
        heads * config.resolved_head_dim for heads in (config.heads, config.resolved_kv_heads, config.resolved_kv_heads)
    ]
    lines = [GPT2, BIGCODE]
    for place, (part, size) in enumerate(zip(("query", "key", "value"), sizes, strict=True)):
        if config.resolved_kv_heads < config.heads:
            kernel = bias = f"rows({sum(sizes[:place])},{sum(sizes[: place + 1])})"
        else:
            fused = f"{config.heads},{3 * config.resolved_head_dim}"
            kernel = f"reshape({fused},{config.width}) chunk({place},3,1) reshape({size},{config.width})"
            bias = f"reshape({fused}) chunk({place},3,1) reshape({size})"
        lines += [f"{ours}.{part}.kernel <- {source}.weight : {kernel} T"]
        lines += [f"{ours}.{part}.bias <- {source}.bias : {bias}"]
    return "\n".join(lines)


def opt(config: DecoderConfig) -> str:
    return OPT


def llama(config: DecoderConfig) -> str:
    return LLAMA + NORMS_BEFORE


def mixtral(config: DecoderConfig) -> str:
    return LLAMA + NORMS_BEFORE + EXPERTS + MIXTRAL_FILES


def qwen3_moe(config: DecoderConfig) -> str:
    return LLAMA + NORMS_BEFORE + EXPERTS + QWEN3_MOE_FILES


def olmo2(config: DecoderConfig) -> str:
    return LLAMA + NORMS_AFTER


def gemma2(config: DecoderConfig) -> str:
    return LLAMA + NORMS_BOTH


def gpt_oss(config: DecoderConfig) -> str:
    return LLAMA + NORMS_BEFORE + GPT_OSS_EXPERTS
