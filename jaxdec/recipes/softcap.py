"""Soft caps: char-gpt with bounded attention scores and logits, as in Gemma 2.

    jaxdec train softcap

MEASURE-ME
"""

from dataclasses import replace

from jaxdec.models.ladder import SOFTCAP
from jaxdec.recipes import char_gpt

CONFIG = replace(char_gpt.CONFIG, model=SOFTCAP)
