"""SPEC: a plain PyTorch GPT and the same as a JAX function.  jaxdec parity check examples/parity/function_pair.py"""

import function_gpt
import plain_torch_gpt

from jaxdec.parity import Pair, Reference, from_function

WEIGHTS = """
wte <- wte.weight
wpe <- wpe.weight
h.{i}.qkv.w <- h.{i}.attn.qkv.weight : T
h.{i}.qkv.b <- h.{i}.attn.qkv.bias
h.{i}.proj.w <- h.{i}.attn.proj.weight : T
h.{i}.proj.b <- h.{i}.attn.proj.bias
h.{i}.up.w <- h.{i}.mlp.up.weight : T
h.{i}.up.b <- h.{i}.mlp.up.bias
h.{i}.down.w <- h.{i}.mlp.down.weight : T
h.{i}.down.b <- h.{i}.mlp.down.bias
{*path}.g <- {*path}.weight
{*path}.b <- {*path}.bias
"""

pair = Pair(
    name="function-gpt",
    reference=Reference(plain_torch_gpt.GPT()),
    candidate=from_function(lambda params, batch: function_gpt.gpt(params, batch["tokens"]), function_gpt.shapes()),
    vocab_size=61,
    context=16,
    weights=WEIGHTS,
)
