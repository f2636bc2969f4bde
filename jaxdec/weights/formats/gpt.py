"""The names and layouts of Karpathy's minGPT and nanoGPT, which are GPT-2's with matrices as nn.Linear holds them."""

from __future__ import annotations

from collections.abc import Mapping

from jaxdec.config.model import DecoderConfig
from jaxdec.weights.formats.base import StoredTensor
from jaxdec.weights.huggingface.tables import biases, kernels, rule_lines, scales, under, when

NORMS = {"attention_norm": "ln_1", "mlp_norm": "ln_2"}
PROJECTIONS = {"attention.out": "attn.c_proj", "mlp.up": "mlp.c_fc", "mlp.down": "mlp.c_proj"}
QKV = ("attention.query", "attention.key", "attention.value")
FIRST = "transformer.h.0.attn.c_attn.weight"
LEFT_OUT = (  # the causal mask, which both keep as a buffer where they need it
    "- <-? transformer.h.{i}.attn.bias\n"
)


def rules(config: DecoderConfig) -> str:
    """The table for a state_dict of either."""
    block = {
        **scales(NORMS),
        **kernels(PROJECTIONS),
        **{f"{part}.kernel": f"attn.c_attn.weight : chunk({i},3,0) T" for i, part in enumerate(QKV)},
        **when(config.bias, biases(NORMS)),
        **when(config.bias, biases(PROJECTIONS)),
        **when(config.bias, {f"{part}.bias": f"attn.c_attn.bias : chunk({i},3,0)" for i, part in enumerate(QKV)}),
    }
    names = {
        "token_embed.embedding": "transformer.wte.weight",
        "position_embed.embedding": "transformer.wpe.weight",
        **under("blocks.{i}.", "transformer.h.{i}.", block),
        **scales({"final_norm": "transformer.ln_f"}),
        **when(config.bias, biases({"final_norm": "transformer.ln_f"})),
        **when(not config.tied_head, kernels({"head": "lm_head"})),
    }
    return rule_lines([names]) + LEFT_OUT


def is_gpt(tensors: Mapping[str, StoredTensor]) -> bool:
    """Whether names and the layout of matrices are theirs: GPT-2 of transformers has [width, 3 width] where these have
    [3 width, width]."""
    first = getattr(tensors.get(FIRST), "shape", ())
    return len(first) == 2 and first[0] == 3 * first[1] and "transformer.wpe.weight" in tensors
