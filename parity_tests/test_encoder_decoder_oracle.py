"""An outside oracle: torch's own transformer layers, with our weights put into them by hand."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Literal

import pytest
import torch
from torch import nn

from jaxdec.parity.compare import tolerances
from jaxdec.parity.compare.comparison import relative, require
from jaxdec.parity.pairs.pairs import pair_of_model
from jaxdec.parity.sides.stages import Sides
from parity_tests.twins import GENERIC
from tests.encoder_decoders import DEEP


@pytest.mark.parametrize("place", ["post", "pre"])
def test_torchs_own_transformer_layers_agree(place: Literal["post", "pre"]) -> None:
    """torch.nn's encoder and decoder layers in stacks without (after) or with (before) a norm at the end."""
    model = replace(DEEP, norm_place=place)
    both = Sides(pair_of_model(place, model, window=9))
    weights, batch = both.transfer.weights(GENERIC).candidate, both.pair.draw(0, 1)[0]
    settings = {
        "dim_feedforward": 4 * model.width,
        "dropout": 0.0,
        "batch_first": True,
        "norm_first": place == "pre",
    }
    encoder_layer = nn.TransformerEncoderLayer(model.width, model.heads, **settings)
    encoder = nn.TransformerEncoder(
        encoder_layer, 2, nn.LayerNorm(model.width) if place == "pre" else None, enable_nested_tensor=False
    )
    decoder_layer = nn.TransformerDecoderLayer(model.width, model.heads, **settings)
    decoder = nn.TransformerDecoder(decoder_layer, 2, nn.LayerNorm(model.width) if place == "pre" else None)
    norms = {"encoder": ["attention", "mlp"], "decoder": ["attention", "cross_attention", "mlp"]}
    stacks = {"encoder": encoder.double().eval(), "decoder": decoder.double().eval()}
    for name, stack in stacks.items():
        for index, layer in enumerate(stack.layers):
            ours = {
                key.removeprefix(f"{name}.{index}."): torch.from_numpy(value)
                for key, value in weights.items()
                if key.startswith(f"{name}.{index}.")
            }
            load_attention(layer.self_attn, ours, "attention")
            if name == "decoder":
                load_attention(layer.multihead_attn, ours, "cross_attention")
            load(layer.linear1, ours["mlp.up.kernel"].T, ours["mlp.up.bias"])
            load(layer.linear2, ours["mlp.down.kernel"].T, ours["mlp.down.bias"])
            for number, part in enumerate(norms[name], start=1):
                load(getattr(layer, f"norm{number}"), ours[f"{part}_norm.scale"], ours[f"{part}_norm.bias"])
        if place == "pre":
            final = f"{name}_norm"
            load(stack.norm, *(torch.from_numpy(weights[f"{final}.{leaf}"]) for leaf in ("scale", "bias")))
    table = torch.from_numpy(weights["token_embed.embedding"])
    source, tokens, present = (torch.from_numpy(batch[name]) for name in ("source", "tokens", "source_mask"))

    def embed(ids: torch.Tensor) -> torch.Tensor:
        angles = torch.arange(ids.shape[1]).double()[:, None] / 1e4 ** (
            torch.arange(0, model.width, 2).double() / model.width
        )
        positions = torch.stack([angles.sin(), angles.cos()], dim=-1).flatten(1)
        return table[ids] * model.width**0.5 + positions

    with torch.no_grad():
        memory = encoder(embed(source), src_key_padding_mask=present == 0)
        hidden = torch.ones(tokens.shape[1], tokens.shape[1], dtype=torch.bool).triu(1)
        y = decoder(embed(tokens), memory, tgt_mask=hidden, memory_key_padding_mask=present == 0)
    require(
        relative(
            "logits", both.candidate.forward(GENERIC).logits, {"logits": (y @ table.T).numpy()}, tolerances.SEMANTIC
        )
    )


def load(module: Any, weight: torch.Tensor, bias: torch.Tensor) -> None:
    module.load_state_dict({"weight": weight, "bias": bias})


def load_attention(module: nn.MultiheadAttention, ours: dict[str, torch.Tensor], name: str) -> None:
    parts = ("query", "key", "value")
    module.load_state_dict(
        {
            "in_proj_weight": torch.cat([ours[f"{name}.{part}.kernel"].T for part in parts]),
            "in_proj_bias": torch.cat([ours[f"{name}.{part}.bias"] for part in parts]),
            "out_proj.weight": ours[f"{name}.out.kernel"].T,
            "out_proj.bias": ours[f"{name}.out.bias"],
        }
    )
