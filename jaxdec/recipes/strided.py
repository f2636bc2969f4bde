"""Strided sparse attention: char-gpt whose first, third ... layers see 8 characters, and every eighth before.

    jaxdec train strided

MEASURE-ME
"""

from dataclasses import replace

from jaxdec.models.ladder import STRIDED
from jaxdec.recipes import char_gpt

CONFIG = replace(char_gpt.CONFIG, model=STRIDED)
