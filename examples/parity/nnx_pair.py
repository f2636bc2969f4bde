"""SPEC: a plain PyTorch GPT and the same in flax.nnx.  jaxdec parity check examples/parity/nnx_pair.py"""

import nnx_gpt
import plain_torch_gpt

from jaxdec.parity import Pair, Reference, from_nnx

WEIGHTS = """
{*path}.kernel <- {*path}.weight : T
{*path}.embedding <- {*path}.weight
{*path}.scale <- {*path}.weight
{*path}.bias <- {*path}.bias
"""

pair = Pair(
    name="nnx-gpt",
    reference=Reference(plain_torch_gpt.GPT()),
    candidate=from_nnx(nnx_gpt.GPT(), lambda model, batch: model(batch["tokens"])),
    vocab_size=61,
    context=16,
    weights=WEIGHTS,
)
