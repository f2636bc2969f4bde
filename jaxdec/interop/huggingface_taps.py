"""Which module of a Hugging Face decoder returns what which of ours returns: tables of taps, ours on the left.

Query, key and value are one product on our side, gate and up too, and experts work on slots: they are not tapped.
"""

from __future__ import annotations

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
blocks.{i}.attention.query_norm <- model.layers.{i}.self_attn.q_norm
blocks.{i}.attention.key_norm <- model.layers.{i}.self_attn.k_norm
blocks.{i}.attention.out <- model.layers.{i}.self_attn.o_proj
blocks.{i}.attention <- model.layers.{i}.self_attn
blocks.{i}.mlp.down <- model.layers.{i}.mlp.down_proj
blocks.{i}.mlp <- model.layers.{i}.mlp
blocks.{i} <- model.layers.{i}
final_norm <- model.norm
"""
LLAMA = f"""token_embed <- model.embed_tokens
blocks.{{i}}.attention_norm <- model.layers.{{i}}.input_layernorm
blocks.{{i}}.mlp_norm <- model.layers.{{i}}.post_attention_layernorm
{LAYERS}"""
MIXTRAL = f"""blocks.{{i}}.mlp.router <- model.layers.{{i}}.mlp.gate
{LLAMA}"""
GPT_OSS = f"""blocks.{{i}}.mlp.router <- model.layers.{{i}}.mlp.router
{LLAMA}"""
OLMO2 = f"""token_embed <- model.embed_tokens
blocks.{{i}}.attention_post_norm <- model.layers.{{i}}.post_attention_layernorm
blocks.{{i}}.mlp_post_norm <- model.layers.{{i}}.post_feedforward_layernorm
{LAYERS}"""
# Gemma's embedding returns its rows times the scale, ours the rows.
GEMMA2 = f"""blocks.{{i}}.attention_norm <- model.layers.{{i}}.input_layernorm
blocks.{{i}}.attention_post_norm <- model.layers.{{i}}.post_attention_layernorm
blocks.{{i}}.mlp_norm <- model.layers.{{i}}.pre_feedforward_layernorm
blocks.{{i}}.mlp_post_norm <- model.layers.{{i}}.post_feedforward_layernorm
{LAYERS}"""
