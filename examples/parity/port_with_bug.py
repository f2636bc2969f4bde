"""SPEC of a hasty port, which keeps Flax's defaults.  jaxdec parity check examples/parity/port_with_bug.py"""

import jax
import nnx_gpt
import plain_torch_gpt
from flax import nnx
from nnx_pair import WEIGHTS

from jaxdec.parity import Pair, Reference, from_nnx


class MLP(nnx_gpt.MLP):
    def __call__(self, x: jax.Array) -> jax.Array:
        return self.down(jax.nn.gelu(self.up(x)))


def hasty_port() -> nnx_gpt.GPT:
    model = nnx_gpt.GPT()
    for block in model.h:
        block.mlp = MLP(24, nnx.Rngs(0))
        block.ln_1 = nnx.LayerNorm(24, rngs=nnx.Rngs(0))
    return model


pair = Pair(
    name="port-with-bug",
    reference=Reference(plain_torch_gpt.GPT()),
    candidate=from_nnx(hasty_port(), lambda model, batch: model(batch["tokens"])),
    vocab_size=61,
    context=16,
    weights=WEIGHTS,
)
