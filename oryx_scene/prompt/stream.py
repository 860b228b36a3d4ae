"""Hiding the scratchpad while an answer streams: pieces of raw text in, visible text out."""

from __future__ import annotations

from collections.abc import Callable

from oryx_scene.prompt.parse import THINK_CLOSE, THINK_OPEN


class VisibleText:
    """Passes on what lies outside the scratchpad as soon as that is certain.

    Args:
        emit: receives each visible piece, never an empty one.
    """

    def __init__(self, emit: Callable[[str], None]) -> None:
        self._emit = emit
        self._held = ""
        self._hidden = False
        self._begun = False

    def feed(self, piece: str) -> None:
        """Take the next piece of raw text."""
        self._held += piece
        while True:
            mark = THINK_CLOSE if self._hidden else THINK_OPEN
            at = self._held.find(mark)
            if at < 0:
                break
            if not self._hidden:
                self._pass_on(self._held[:at])
            self._held = self._held[at + len(mark) :]
            self._hidden = not self._hidden
        keep = _possible_start(self._held, THINK_CLOSE if self._hidden else THINK_OPEN)
        if not self._hidden:
            self._pass_on(self._held[: len(self._held) - keep])
        self._held = self._held[len(self._held) - keep :]

    def finish(self) -> None:
        """The raw text has ended: pass on what was held back in doubt."""
        if not self._hidden:
            self._pass_on(self._held)
        self._held = ""

    def _pass_on(self, text: str) -> None:
        # The blank between scratchpad and answer belongs to neither.
        text = text if self._begun else text.lstrip()
        if text:
            self._begun = True
            self._emit(text)


def _possible_start(text: str, mark: str) -> int:
    """How many last characters of ``text`` could be the beginning of ``mark``."""
    for length in range(min(len(mark) - 1, len(text)), 0, -1):
        if mark.startswith(text[-length:]):
            return length
    return 0
