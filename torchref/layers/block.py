"""One transformer block (GPT-2, Radford et al. 2019, section 2.3); norms before its branches, after them, or both."""

from __future__ import annotations

from torch import Tensor, nn

from jaxdec.config.model import DecoderConfig
from jaxdec.config.parts import MoE
from torchref.layers.attention.attention import Attention
from torchref.layers.documents import Documents
from torchref.layers.dropout import Dropout
from torchref.layers.mlp import make_mlp
from torchref.layers.moe.moe import MoEModule, RouterReport
from torchref.layers.norm import make_norm, normalised

PARALLEL = {"sequential": False, "parallel": True, "parallel_one_norm": True}  # whether both branches read the same x
BRANCH_NORMS = {"pre": (True, False), "post": (False, True), "both": (True, True)}  # before a branch, behind it


class Block(nn.Module):
    """x [B,T,D] -> x + attention(norm(x)) -> that + mlp(norm(that)), with dropout on both branches.

    In parallel it is x + attention(norm(x)) + mlp(norm(x)), where both may be one norm. The post-norms act on what a
    branch returns, before it is added.
    """

    def __init__(self, config: DecoderConfig, layer: int) -> None:
        super().__init__()
        part = config.mlp_of(layer)
        self.residual_scale = 1.0 if config.residual_scale is None else config.residual_scale
        before, after = BRANCH_NORMS[config.branch_norm]
        self.attention_norm = make_norm(config.width, config.norm, config.bias) if before else None
        self.attention = Attention(config, layer)
        self.attention_post_norm = make_norm(config.width, config.norm, config.bias) if after else None
        self.attention_dropout = Dropout(config.dropout)
        self.parallel, self.one_norm = PARALLEL[config.residual], config.residual == "parallel_one_norm"
        if before and not self.one_norm:
            self.mlp_norm = make_norm(config.width, config.norm, config.bias)
        else:
            self.mlp_norm = None
        self.mlp = MoEModule(config, part) if isinstance(part, MoE) else make_mlp(config, part)
        self.mlp_post_norm = make_norm(config.width, config.norm, config.bias) if after else None
        self.mlp_dropout = Dropout(config.dropout)

    def forward(self, x_BTD: Tensor, documents: Documents | None = None) -> tuple[Tensor, RouterReport | None]:
        """The new x, and the losses and metrics of its router (None without one)."""
        input_BTD = x_BTD
        y_BTD = self.attention(normalised(self.attention_norm, x_BTD), documents)
        y_BTD = self.attention_dropout(normalised(self.attention_post_norm, y_BTD))
        x_BTD = x_BTD + y_BTD * self.residual_scale
        norm = self.attention_norm if self.one_norm else self.mlp_norm
        y_BTD, report = normalised(norm, input_BTD if self.parallel else x_BTD), None
        if isinstance(self.mlp, MoEModule):
            y_BTD, report = self.mlp(y_BTD)
        else:
            y_BTD = self.mlp(y_BTD)
        return x_BTD + self.mlp_dropout(normalised(self.mlp_post_norm, y_BTD)) * self.residual_scale, report
