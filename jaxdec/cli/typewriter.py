"""Several texts that grow at once, shown one after the other: the first live, the rest when it is their turn."""

from __future__ import annotations

from collections.abc import Sequence


class Typewriter:
    """`add` takes pieces of any text in any order; `close` shows those still waiting. A rule stands between texts.

    Nothing is shown before the first piece, so that an error that comes instead of it stands alone.
    """

    def __init__(self, prompts: Sequence[str]) -> None:
        self._texts = list(prompts)
        self._shown = 0  # characters of the first text

    def add(self, index: int, piece: str) -> None:
        """Takes the next `piece` of text number `index`."""
        self._texts[index] += piece
        self._catch_up()

    def close(self) -> None:
        """Ends the first text and shows the others."""
        self._catch_up()
        print("".join(f"\n{'-' * 40}\n{text}" for text in self._texts[1:]), flush=True)

    def _catch_up(self) -> None:
        print(self._texts[0][self._shown :], end="", flush=True)
        self._shown = len(self._texts[0])
