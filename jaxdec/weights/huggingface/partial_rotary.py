"""Rotary positions that turn the first channels of a head alone: the share of them that turns, and back."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

from jaxdec.config.model import DecoderConfig
from jaxdec.config.positions import RoPE
from jaxdec.weights.huggingface import rotary
from jaxdec.weights.huggingface.family import Refused, need
from jaxdec.weights.huggingface.settings import HFSettings

SHARE = "partial_rotary_factor"
WHY = "an even number of channels turns, and no more than a head has"
REFUSED = (*(each for each in rotary.REFUSED if each.setting != SHARE), Refused(SHARE, 1.5, WHY))


def read_partial(settings: HFSettings, head_dim: int, share: str = SHARE, theta: str = "rope_theta") -> RoPE:
    """Positions of a family that calls share and base by these names where they stand outside of `rope_parameters`.

    Raises UserError as `rotary.read_rope` does, and for a share that leaves an odd channel.
    """
    given = dict(settings("rope_scaling") or settings("rope_parameters") or {})
    part = given.pop(SHARE, None) or settings(share)
    channels = int(head_dim * part)  # rounded down, as transformers does
    if channels < 2 or channels % 2 or channels > head_dim:
        raise settings.unsupported(share, part, WHY)
    values = {"rope_scaling": None, "rope_parameters": given, SHARE: None, "rope_theta": settings(theta)}
    return replace(rotary.read_rope(settings.but(**values)), channels=None if channels == head_dim else channels)


def write_partial(config: DecoderConfig, share: str = SHARE, theta: str = "rope_theta") -> dict[str, Any]:
    """The settings of rotary positions, in both forms, with the share under its own name too."""
    rope = need(config.position, RoPE, "position")
    written = rotary.write_rope(rope)
    head_dim = config.resolved_head_dim
    channels = rope.turned(head_dim)
    part = channels / head_dim
    if int(head_dim * part) < channels:  # 49 * (1 / 49) is less than one
        part = math.nextafter(part, 1.0)
    base = written.pop("rope_theta")
    return {**written, "rope_parameters": {**written["rope_parameters"], SHARE: part}, theta: base, share: part}
