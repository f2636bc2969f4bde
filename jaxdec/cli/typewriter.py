"""Several texts that grow at once, shown one after the other: the first live, the rest when it is their turn."""

from __future__ import annotations

from collections.abc import Sequence


class Typewriter:
    """`add` takes pieces of any text in any order; `close` shows those still waiting. A rule stands between texts."""

    def __init__(self, prompts: Sequence[str]) -> None:
        self._waiting = list(prompts)
        if prompts:
            print(prompts[0], end="", flush=True)

    def add(self, index: int, piece: str) -> None:
        """Takes the next `piece` of text number `index`."""
        if index == 0:
            print(piece, end="", flush=True)
        else:
            self._waiting[index] += piece

    def close(self) -> None:
        """Ends the first text and shows the others."""
        print(flush=True)
        for text in self._waiting[1:]:
            print("-" * 40)
            print(text, flush=True)
