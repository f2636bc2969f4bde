"""Soft caps: char-gpt with bounded attention scores and logits, as in Gemma 2.

    jaxdec train softcap

Run time: 50 seconds on two CPU cores. Measured on `playlets`: a sweep loss of 0.240 nats per character, 0.043
above the entropy floor; char-gpt reaches 0.236. Caps of 50 and 30 seldom bind in
so small a model.
"""

from dataclasses import replace

from jaxdec.models.ladder import SOFTCAP
from jaxdec.recipes import char_gpt

CONFIG = replace(char_gpt.CONFIG, model=SOFTCAP)
