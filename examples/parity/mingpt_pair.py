"""SPEC: a model that returns (logits, loss) and brings its own optimizer groups, as minGPT's and nanoGPT's do, and the
same in flax.nnx.  jaxdec parity check examples/parity/mingpt_pair.py"""

from types import SimpleNamespace

import jax
import nnx_gpt
import optax
import plain_torch_gpt
import torch
import torch.nn.functional as F

from jaxdec.parity import Pair, Reference, from_nnx

WEIGHTS = """
{*path}.kernel <- {*path}.weight : T
{*path}.embedding <- {*path}.weight
{*path}.scale <- {*path}.weight
{*path}.bias <- {*path}.bias
"""


class GPT(plain_torch_gpt.GPT):
    def forward(self, tokens, targets=None):
        logits = super().forward(tokens)
        if targets is None:
            return logits, None
        return logits, F.cross_entropy(logits.flatten(0, 1), targets.flatten(), ignore_index=-1)

    def configure_optimizers(self, weight_decay, learning_rate, betas):
        matrices = [parameter for parameter in self.parameters() if parameter.dim() >= 2]
        vectors = [parameter for parameter in self.parameters() if parameter.dim() < 2]
        groups = [{"params": matrices, "weight_decay": weight_decay}, {"params": vectors, "weight_decay": 0.0}]
        return torch.optim.AdamW(groups, lr=learning_rate, betas=betas)


def call(model, batch):
    """Targets that do not count are -1, which the model's own loss leaves out."""
    targets = torch.where(batch["mask"] > 0, batch["targets"], -1).long() if "targets" in batch else None
    logits, loss = model(batch["tokens"], targets)
    return SimpleNamespace(logits=logits, loss=loss)


def optimizer(model):
    made = model.configure_optimizers(weight_decay=0.1, learning_rate=1e-3, betas=(0.9, 0.95))
    return lambda step: made.step()


def decayed(params):
    return jax.tree.map(lambda param: param.ndim >= 2, params)


pair = Pair(
    name="mingpt",
    reference=Reference(GPT(), call=call, loss=lambda outputs, batch: outputs.loss, optimizer=optimizer),
    candidate=from_nnx(
        nnx_gpt.GPT(),
        lambda model, batch: model(batch["tokens"]),
        optimizer=optax.adamw(1e-3, b1=0.9, b2=0.95, weight_decay=0.1, mask=decayed),
    ),
    vocab_size=61,
    context=16,
    weights=WEIGHTS,
)
