"""Hiding the scratchpad while an answer streams: pieces of raw text in, visible text out."""

from __future__ import annotations

from collections.abc import Callable

from oryx_scene.qa.parse import THINK_CLOSE, THINK_OPEN, split_scratchpad


class VisibleText:
    """Passes on what is no working, as soon as that is certain.

    All before the last closing mark is working, and some models leave out the opening one: of a
    model that writes a working nothing is certain before its text ends. What a model without one
    writes is passed on at once, up to an opening mark.

    Args:
        emit: receives each visible piece, never an empty one.
        works: the model writes its working before it answers (``ModelCard.scratchpad``).
    """

    def __init__(self, emit: Callable[[str], None], *, works: bool = True) -> None:
        self._emit = emit
        self._works = works
        self._raw = ""
        self._shown = ""

    def feed(self, piece: str) -> None:
        """Take the next piece of raw text."""
        self._raw += piece
        if self._works:
            return
        marks = (THINK_OPEN, THINK_CLOSE)
        self._works = any(mark in self._raw for mark in marks)
        if not self._works:
            # The blank before the text belongs to no answer.
            certain = len(self._raw) - max(_possible_start(self._raw, mark) for mark in marks)
            self._pass_on(self._raw[:certain].lstrip()[len(self._shown) :])

    def finish(self) -> None:
        """The raw text has ended: pass on what was held back in doubt."""
        text, _ = split_scratchpad(self._raw)
        if text.startswith(self._shown.rstrip()):
            self._pass_on(text[len(self._shown) :])
        else:
            # What was passed on turned out to be working; the answer begins on a line of its own.
            self._pass_on(f"\n{text}")

    def _pass_on(self, text: str) -> None:
        if text:
            self._shown += text
            self._emit(text)


def _possible_start(text: str, mark: str) -> int:
    """How many last characters of ``text`` could be the beginning of ``mark``."""
    for length in range(min(len(mark) - 1, len(text)), 0, -1):
        if mark.startswith(text[-length:]):
            return length
    return 0
