"""Attention sinks: char-gpt with windows of 16 characters and a place for unused attention.

    jaxdec train sinks

MEASURE-ME
"""

from dataclasses import replace

from jaxdec.models.ladder import SINKS
from jaxdec.recipes import char_gpt

CONFIG = replace(char_gpt.CONFIG, model=SINKS)
