"""One pre-norm transformer block (GPT-2, Radford et al. 2019, section 2.3)."""

from __future__ import annotations

from torch import Tensor, nn

from jaxdec.model_config import ModelConfig
from torchref.layers.attention import Attention
from torchref.layers.dropout import Dropout
from torchref.layers.mlp import MLP
from torchref.layers.norm import LayerNorm


class Block(nn.Module):
    """x [B,T,D] -> x + attention(norm(x)) -> that + mlp(norm(that)), with dropout on both branches."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.attention_norm = LayerNorm(config.width, epsilon=config.norm.epsilon, bias=config.bias)
        self.attention = Attention(config)
        self.attention_dropout = Dropout(config.dropout)
        self.mlp_norm = LayerNorm(config.width, epsilon=config.norm.epsilon, bias=config.bias)
        self.mlp = MLP(config)
        self.mlp_dropout = Dropout(config.dropout)

    def forward(self, x_BTD: Tensor) -> Tensor:
        x_BTD = x_BTD + self.attention_dropout(self.attention(self.attention_norm(x_BTD)))
        return x_BTD + self.mlp_dropout(self.mlp(self.mlp_norm(x_BTD)))
