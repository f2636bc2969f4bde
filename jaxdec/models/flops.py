"""Parameters and training FLOPs of a model, from its config alone: nothing is built, and jax is not imported.

The rule (Kaplan et al. 2020, section 2.1; Chowdhery et al. 2022, appendix B): a token costs 2 FLOPs for each entry of a
matrix that it is multiplied with, and twice that again in the backward pass. Look-ups, norms, activations and softmax
are not counted, nor work that is done again to save memory. Scores and mixtures of values cost 12 FLOPs for each key
that a query may read and each of the H C channels; under a causal mask that is T / 2 keys on average, so 6 L T H C in
all, however many documents a window holds: a config does not know them. The XLA attention used here computes masked
scores too, so the machine does more than this count, by at most that half.
"""

from __future__ import annotations

import functools
from typing import NamedTuple, assert_never

import numpy as np

from jaxdec.config.model import (
    AnyModel,
    BigramConfig,
    DecoderConfig,
    EncoderDecoderConfig,
    MultiHeadConfig,
    OneBlockConfig,
    SingleHeadConfig,
)
from jaxdec.config.parts import MLP, FeedForward, Full, GatedMLP, LayerNorm, MoE, Pattern, RMSNorm
from jaxdec.config.positions import Learned

TRAINING = 6  # FLOPs per active matrix entry: 2 forward, 4 backward
ATTENTION = 12  # the same for a key and a channel: two products


class Count(NamedTuple):
    """`parameters`, and the entries of matrices that a token is multiplied with while training."""

    parameters: int
    active: int

    def __add__(self, other: Count) -> Count:  # pyright: ignore[reportIncompatibleMethodOverride]
        return Count(self.parameters + other.parameters, self.active + other.active)

    def times(self, number: int) -> Count:
        return Count(number * self.parameters, number * self.active)


NOTHING = Count(0, 0)
Parts = dict[str, Count]


def count(config: AnyModel, vocab_size: int) -> Parts:
    """What each kind of part holds, by name. `vocab_size` is used where the config leaves it to the tokenizer."""
    vocab, width = config.vocab_size or vocab_size, config.width
    parts = {"token table": Count(vocab * width, 0)}
    match config:
        case BigramConfig():
            pass
        case SingleHeadConfig() | MultiHeadConfig():
            parts["position table"] = Count(config.context * width, 0)
            layer, out = config.decoder, isinstance(config, MultiHeadConfig)
            parts["attention"] = _attention(layer, layer.attention_of(0), out=out)
        case OneBlockConfig():
            parts["position table"] = Count(config.context * width, 0)
            parts |= _blocks(config.decoder)
        case DecoderConfig():
            parts |= _blocks(config)
            parts["norms"] += _norm(config, width)
            if isinstance(config.position, Learned):
                parts["position table"] = Count(config.context * width, 0)
        case EncoderDecoderConfig():
            parts |= _encoder_decoder(config)
        case _:
            assert_never(config)
    if isinstance(config, DecoderConfig) and config.classes is not None:
        return parts | {"classifier": _linear(width, config.classes, bias=True)}
    tied = getattr(config, "tied_head", False)
    bias = vocab if getattr(config, "head_bias", False) else 0
    parts["head"] = Count(bias if tied else width * vocab + bias, width * vocab)
    return parts


def parameters(config: AnyModel, vocab_size: int) -> int:
    """Parameters in all; `vocab_size` is used where the config leaves it to the tokenizer."""
    return sum(part.parameters for part in count(config, vocab_size).values())


def training_flops(config: AnyModel, vocab_size: int, window: int) -> float:
    """FLOPs of a training step per token, for training examples of `window` tokens.

    Of an encoder-decoder: per target token, with a source of as many tokens.
    """
    matrices = TRAINING * sum(part.active for part in count(config, vocab_size).values())
    layers = config.decoder
    if layers is None:
        return matrices
    keys = sum(allowed_keys(layers.attention_of(layer), window) for layer in range(layers.layers))
    if isinstance(config, EncoderDecoderConfig):
        keys += 2 * layers.layers * window  # encoder and cross-attention: every query reads the whole source
    return matrices + ATTENTION * keys * layers.heads * layers.resolved_head_dim


@functools.cache
def allowed_keys(pattern: Pattern, window: int) -> float:
    """The keys that a query of `window` tokens may read, on average; for full attention T / 2, as the rule has it."""
    if isinstance(pattern, Full):
        return window / 2
    positions = np.arange(window)
    return float(np.mean(pattern.allowed(positions[:, None], positions[None, :]).sum(axis=1)))


def _blocks(config: DecoderConfig) -> Parts:
    """All blocks of a decoder, without the final norm."""
    attention = mlp = norms = NOTHING
    for layer in range(config.layers):
        attention += _attention(config, config.attention_of(layer), out=True)
        mlp += _mlp(config.width, config.mlp_of(layer), config.bias)
        norms += _norm(config, config.width).times(_norms_of_a_block(config))
    return {"attention": attention, "feed-forward": mlp, "norms": norms}


def _norms_of_a_block(config: DecoderConfig) -> int:
    before = 0 if config.branch_norm == "post" else 1 if config.residual == "parallel_one_norm" else 2
    return before + (0 if config.branch_norm == "pre" else 2)


def _encoder_decoder(config: EncoderDecoderConfig) -> Parts:
    layers = config.decoder
    attention = _attention(layers, layers.attention_of(0), out=True).times(3 * config.layers)
    norms = _norm(layers, config.width).times(5 * config.layers + (2 if config.norm_place == "pre" else 0))
    positions = 2 * config.context * config.width if isinstance(config.position, Learned) else 0
    return {
        "attention": attention,
        "feed-forward": _mlp(config.width, config.mlp, config.bias).times(2 * config.layers),
        "norms": norms,
        "position table": Count(positions, 0),
    }


def _attention(config: DecoderConfig, pattern: Pattern, *, out: bool) -> Count:
    width, heads, keys = (
        config.width,
        config.heads * config.resolved_head_dim,
        config.resolved_kv_heads * config.resolved_head_dim,
    )
    total = _linear(width, heads, config.qkv_bias) + _linear(width, keys, config.qkv_bias).times(2)
    if out:
        total += _linear(heads, width, config.out_bias)
    if config.qk_norm is not None:
        total += Count(2 * config.resolved_head_dim if config.qk_norm_over == "head" else heads + keys, 0)
    return total + Count(0 if pattern.sink is None else config.heads, 0)


def _mlp(width: int, part: FeedForward, bias: bool) -> Count:
    match part:
        case MLP():
            hidden = part.resolved_hidden(width)
            return _linear(width, hidden, bias) + _linear(hidden, width, bias)
        case GatedMLP():
            return _linear(width, part.hidden, bias).times(2) + _linear(part.hidden, width, bias)
        case MoE():
            return _moe(width, part, bias)
        case _:
            assert_never(part)


def _moe(width: int, part: MoE, bias: bool) -> Count:
    """A token meets top_k experts, the router, its noise while training, and what is shared."""
    router = _linear(width, part.experts, part.router_bias)
    noise = _linear(width, part.experts, bias=False) if part.noisy else NOTHING
    expert = _mlp(width, part.expert, bias)
    experts = Count(part.experts * expert.parameters, part.top_k * expert.active)
    gate = _linear(width, 1, bias=False) if part.shared_gate else NOTHING
    return router + noise + experts + gate + (NOTHING if part.shared is None else _mlp(width, part.shared, bias))


def _linear(inputs: int, outputs: int, bias: bool) -> Count:
    return Count(inputs * outputs + (outputs if bias else 0), inputs * outputs)


def _norm(config: DecoderConfig, width: int) -> Count:
    match config.norm:
        case LayerNorm(scale=scale, bias=bias):
            return Count(width * (scale + (config.bias if bias is None else bias)), 0)
        case RMSNorm():
            return Count(width, 0)
        case _:
            assert_never(config.norm)
