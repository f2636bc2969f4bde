"""Several arrays of token ids as one, without a copy: what windows need of an array, its length and its items."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np


class Joined:
    """Arrays [tokens] of one dtype, one behind the other. Slices and arrays of indices give arrays."""

    ndim = 1

    def __init__(self, parts: Sequence[np.ndarray]) -> None:
        self.parts, self.dtype = list(parts), parts[0].dtype
        self.ends = np.cumsum([len(part) for part in parts])

    @property
    def shape(self) -> tuple[int]:
        return (len(self),)

    @property
    def size(self) -> int:
        return len(self)

    def __len__(self) -> int:
        return int(self.ends[-1])

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, slice):
            start, stop, step = index.indices(len(self))
            if step != 1:
                return self[np.arange(start, stop, step)]
            found = []
            for part, end in zip(self.parts, self.ends.tolist(), strict=True):
                begin = end - len(part)
                found.append(part[max(start - begin, 0) : max(stop - begin, 0)])
            return np.concatenate(found)
        places = np.asarray(index)
        if places.dtype == bool:
            places = np.flatnonzero(places)
        places = np.where(places < 0, places + len(self), places)
        if places.size and not (places.min() >= 0 and places.max() < len(self)):
            raise IndexError(f"an index is outside the {len(self)} tokens")
        number = np.searchsorted(self.ends, places, side="right")
        ids = np.empty(places.shape, self.dtype)
        for which in np.unique(number).tolist():
            here = number == which
            ids[here] = self.parts[which][places[here] - (self.ends[which] - len(self.parts[which]))]
        return ids if ids.ndim else ids[()]

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return np.concatenate(self.parts).astype(dtype or self.dtype, copy=False)
