"""ALiBi: char-gpt without positions, whose heads lose interest with distance.

    jaxdec train alibi

MEASURE-ME
"""

from dataclasses import replace

from jaxdec.models.ladder import ALIBI
from jaxdec.recipes import char_gpt

CONFIG = replace(char_gpt.CONFIG, model=ALIBI)
