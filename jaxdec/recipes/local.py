"""Sliding windows: char-gpt whose first, third ... layers see only the last 16 characters.

    jaxdec train local

MEASURE-ME
"""

from dataclasses import replace

from jaxdec.models.ladder import LOCAL
from jaxdec.recipes import char_gpt

CONFIG = replace(char_gpt.CONFIG, model=LOCAL)
