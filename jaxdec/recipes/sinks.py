"""Attention sinks: char-gpt with windows of 16 characters and a place for unused attention.

    jaxdec train sinks

Run time: 50 seconds on two CPU cores. Measured on `playlets`: a sweep loss of 0.408 nats per character, 0.211
above the entropy floor; char-gpt reaches 0.236. With windows alone, four layers of 16 characters, names that
stand further back are out of reach.
"""

from dataclasses import replace

from jaxdec.models.ladder import SINKS
from jaxdec.recipes import char_gpt

CONFIG = replace(char_gpt.CONFIG, model=SINKS)
