"""Attention from heads to sums of values: softmax(scale q k^T) v (Vaswani et al. 2017, eq. 1).

Everything calls `attend`: the heads of a decoder, an encoder and cross-attention.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from jaxdec.config.parts import Full, Pattern
from torchref.layers.documents import Documents
from torchref.layers.dropout import Dropout
from torchref.layers.position import alibi_slopes
from torchref.layers.promotion import at_least_float32


def attend(
    q_BHTC: Tensor,
    k_BKSC: Tensor,
    v_BKSC: Tensor,
    *,
    pattern: Pattern | None,
    present_BS: Tensor | None,
    documents: Documents | None,
    scale: float | None,
    softcap: float | None,
    alibi: float | None,
    sink_H: Tensor | None,
    dropout: Dropout,
) -> Tensor:
    """What each query head gathers, [B,H,T,C]; query head h reads key/value head h // (H / K).

    A query may read the keys that `pattern` allows (None: every key; otherwise T = S), where `present_BS` is True
    (None: everywhere), and of its own document, in which the pattern counts positions (None: all are one document; not
    None: T = S). A scale of None is 1 / sqrt(C). Scores and softmax are in at least float32; the weights return
    to the dtype of the values.
    """
    groups = q_BHTC.shape[1] // k_BKSC.shape[1]
    k_BHSC, v_BHSC = (part.repeat_interleave(groups, dim=1) for part in (k_BKSC, v_BKSC))
    extras = (present_BS, documents, scale, softcap, alibi, sink_H)
    plain = isinstance(pattern, Full) and all(part is None for part in extras)
    if plain and not dropout.active:  # the fused kernel would draw a mask of its own
        return F.scaled_dot_product_attention(q_BHTC, k_BHSC, v_BHSC, is_causal=True)
    factor = q_BHTC.shape[-1] ** -0.5 if scale is None else scale
    scores_BHTS = at_least_float32(q_BHTC) @ at_least_float32(k_BHSC).transpose(-2, -1) * factor
    if softcap is not None:
        scores_BHTS = torch.tanh(scores_BHTS / softcap) * softcap
    query_T1 = torch.arange(q_BHTC.shape[2], device=q_BHTC.device)[:, None]
    key_1S = torch.arange(k_BHSC.shape[2], device=q_BHTC.device)[None, :]
    if alibi is not None:
        slopes_H = alibi_slopes(q_BHTC.shape[1], alibi).to(scores_BHTS)
        scores_BHTS = scores_BHTS + slopes_H[:, None, None] * (key_1S - query_T1)
    query, key = query_T1, key_1S
    if documents is not None:
        query, key = documents.positions_BT[:, None, :, None], documents.positions_BT[:, None, None, :]
        same_B1TS = documents.numbers_BT[:, None, :, None] == documents.numbers_BT[:, None, None, :]
        scores_BHTS = scores_BHTS.masked_fill(~same_B1TS, -torch.inf)
    if pattern is not None:
        scores_BHTS = scores_BHTS.masked_fill(~pattern.allowed(query, key), -torch.inf)
    if present_BS is not None:
        scores_BHTS = scores_BHTS.masked_fill(~present_BS[:, None, None, :], -torch.inf)
    if sink_H is not None:  # one more key, whose value is zero
        column = sink_H.to(scores_BHTS.dtype)[None, :, None, None].expand(*scores_BHTS.shape[:3], 1)
        weights_BHTS = torch.softmax(torch.cat([scores_BHTS, column], dim=-1), dim=-1)[..., :-1]
    else:
        weights_BHTS = torch.softmax(scores_BHTS, dim=-1)
    return dropout(weights_BHTS).to(v_BHSC.dtype) @ v_BHSC
