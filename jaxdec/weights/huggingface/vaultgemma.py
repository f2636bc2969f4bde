"""VaultGemma (Google 2025): Gemma 2 with norms before the branches alone."""

from __future__ import annotations

from jaxdec.config.model import DecoderConfig
from jaxdec.weights.huggingface import gemma, gemma2, layers, llama_like, rotary
from jaxdec.weights.huggingface.family import Family, TinyConfig
from jaxdec.weights.huggingface.llama_like import BLOCK, LAYER
from jaxdec.weights.huggingface.settings import HFSettings
from jaxdec.weights.huggingface.tables import Table, scales, under

NORMS = {"attention_norm": "input_layernorm", "mlp_norm": "pre_feedforward_layernorm"}


def read(settings: HFSettings) -> DecoderConfig:
    return gemma2.read(settings, branch_norm="pre")


def parameters(config: DecoderConfig) -> Table:
    return {**gemma.parameters(config), **under(BLOCK, LAYER, scales(NORMS, gemma.STORED))}


def taps(config: DecoderConfig) -> Table:
    return {**llama_like.taps(config), **under(BLOCK, LAYER, NORMS)}


VAULTGEMMA = Family(
    model_type="vaultgemma",
    architecture="VaultGemmaForCausalLM",
    summary='as `gemma2`, with `branch_norm="pre"`',
    read=read,
    write=gemma2.write,
    parameters=parameters,
    taps=taps,
    defaults=gemma2.DEFAULTS,
    tiny={"vaultgemma": TinyConfig("soft caps, norms before branches alone", gemma2.TINY2)},
    refused=(*rotary.REFUSED, *layers.REFUSED, layers.NO_WINDOW),
)
