"""A GPT in torch with the names of modules that minGPT and nanoGPT have, written for these tests alone."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class Norm(nn.Module):
    def __init__(self, width: int, bias: bool) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))
        self.bias = nn.Parameter(torch.zeros(width)) if bias else None

    def forward(self, x: Tensor) -> Tensor:
        return F.layer_norm(x, self.weight.shape, self.weight, self.bias, 1e-5)


class Attention(nn.Module):
    def __init__(self, width: int, heads: int, context: int, bias: bool, mask: bool) -> None:
        super().__init__()
        self.c_attn, self.c_proj = nn.Linear(width, 3 * width, bias=bias), nn.Linear(width, width, bias=bias)
        self.heads, causal = heads, torch.ones(context, context).tril()[None, None]
        self.register_buffer("bias", causal, persistent=mask)

    def forward(self, x: Tensor) -> Tensor:
        batch, length, width = x.shape
        split = (batch, length, self.heads, width // self.heads)
        q, k, v = (part.reshape(split).transpose(1, 2) for part in self.c_attn(x).chunk(3, dim=-1))
        scores = (q @ k.transpose(-1, -2)) / math.sqrt(split[-1])
        scores = scores.masked_fill(self.bias[..., :length, :length] == 0, -torch.inf)
        return self.c_proj((scores.softmax(-1) @ v).transpose(1, 2).reshape(x.shape))


class MLP(nn.Module):
    def __init__(self, width: int, bias: bool, gelu: str) -> None:
        super().__init__()
        self.c_fc, self.c_proj = nn.Linear(width, 4 * width, bias=bias), nn.Linear(4 * width, width, bias=bias)
        self.gelu = gelu

    def forward(self, x: Tensor) -> Tensor:
        return self.c_proj(F.gelu(self.c_fc(x), approximate=self.gelu))


class Block(nn.Module):
    def __init__(self, width: int, heads: int, context: int, bias: bool, gelu: str, mask: bool) -> None:
        super().__init__()
        self.ln_1, self.ln_2 = Norm(width, bias), Norm(width, bias)
        self.attn, self.mlp = Attention(width, heads, context, bias, mask), MLP(width, bias, gelu)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.attn(self.ln_1(x))
        return x + self.mlp(self.ln_2(x))


class GPT(nn.Module):
    """nanoGPT ties the head and has the exact GELU; minGPT does neither and keeps masks in its state_dict."""

    def __init__(
        self,
        vocab_size: int,
        context: int,
        layers: int,
        heads: int,
        width: int,
        bias: bool = True,
        gelu: str = "none",
        tied: bool = True,
        mask: bool = False,
    ) -> None:
        super().__init__()
        blocks = [Block(width, heads, context, bias, gelu, mask) for _ in range(layers)]
        h = nn.ModuleList(blocks)
        wte, wpe = nn.Embedding(vocab_size, width), nn.Embedding(context, width)
        self.transformer = nn.ModuleDict({"wte": wte, "wpe": wpe, "h": h, "ln_f": Norm(width, bias)})
        self.lm_head = nn.Linear(width, vocab_size, bias=False)
        if tied:
            wte.weight = self.lm_head.weight
        torch.manual_seed(0)
        for parameter in self.parameters():
            nn.init.normal_(parameter, std=0.3)

    def forward(self, tokens: Tensor) -> Tensor:
        x = self.transformer["wte"](tokens) + self.transformer["wpe"](torch.arange(tokens.shape[1]))
        for block in self.transformer["h"]:
            x = block(x)
        return self.lm_head(self.transformer["ln_f"](x))
