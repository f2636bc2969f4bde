"""Strided sparse attention: char-gpt whose first, third ... layers see 8 characters, and every eighth before.

    jaxdec train strided

Run time: 43 seconds on two CPU cores. Measured on `playlets`: a sweep loss of 0.231 nats per character, 0.034
above the entropy floor; char-gpt reaches 0.236.
"""

from dataclasses import replace

from jaxdec.models.ladder import STRIDED
from jaxdec.recipes import char_gpt

CONFIG = replace(char_gpt.CONFIG, model=STRIDED)
