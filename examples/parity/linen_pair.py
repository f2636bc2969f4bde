"""SPEC: a plain PyTorch GPT and the same in flax.linen.  jaxdec parity check examples/parity/linen_pair.py"""

import jax
import jax.numpy as jnp
import linen_gpt
import plain_torch_gpt

from jaxdec.parity import Pair, Reference, from_linen

WEIGHTS = """
wte.embedding <- wte.weight
wpe.embedding <- wpe.weight
h_{i}.LayerNorm_0.scale <- h.{i}.ln_1.weight
h_{i}.LayerNorm_0.bias <- h.{i}.ln_1.bias
h_{i}.LayerNorm_1.scale <- h.{i}.ln_2.weight
h_{i}.LayerNorm_1.bias <- h.{i}.ln_2.bias
h_{i}.Attention_0.Dense_0.kernel <- h.{i}.attn.qkv.weight : T
h_{i}.Attention_0.Dense_0.bias <- h.{i}.attn.qkv.bias
h_{i}.Attention_0.Dense_1.kernel <- h.{i}.attn.proj.weight : T
h_{i}.Attention_0.Dense_1.bias <- h.{i}.attn.proj.bias
h_{i}.MLP_0.Dense_0.kernel <- h.{i}.mlp.up.weight : T
h_{i}.MLP_0.Dense_0.bias <- h.{i}.mlp.up.bias
h_{i}.MLP_0.Dense_1.kernel <- h.{i}.mlp.down.weight : T
h_{i}.MLP_0.Dense_1.bias <- h.{i}.mlp.down.bias
ln_f.scale <- ln_f.weight
ln_f.bias <- ln_f.bias
"""
TAPS = "wte <- wte\nwpe <- wpe\nh_{i} <- h.{i}\nh_{i}.Attention_0 <- h.{i}.attn\nh_{i}.MLP_0 <- h.{i}.mlp\nln_f <- ln_f"


def pair() -> Pair:
    model = linen_gpt.GPT()
    variables = jax.eval_shape(model.init, jax.random.key(0), jnp.zeros((1, 16), jnp.int32))
    candidate = from_linen(model, variables, lambda model, variables, batch: model.apply(variables, batch["tokens"]))
    reference = Reference(plain_torch_gpt.GPT())
    return Pair("linen-gpt", reference, candidate, vocab_size=61, context=16, weights=WEIGHTS, taps=TAPS)
