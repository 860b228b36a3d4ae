"""Which objects a question names: by a detector's label, or by the number of a mark."""

from __future__ import annotations

import re
from collections.abc import Sequence

# Where a label or number stands in the question; UNNAMED is after every place.
UNNAMED = 1 << 30
_NUMBER = re.compile(r"(?:\b(?:marks?|objects?|numbers?|discs?)\s*#?\s*|#)(\d{1,2})\b", re.I)


def names_in(question: str, labels: Sequence[str]) -> list[str]:
    """Labels that a question names, as whole words, in the order given."""
    return [name for name in labels if place_in(question, name) < UNNAMED]


def place_in(question: str, label: str) -> int:
    """Character at which ``question`` names ``label``, ``UNNAMED`` where it does not.

    Whole words, singular or plural, any case; blanks, hyphens and underscores are alike. A label of
    several words is also named by its last word ("mug" names "coffee mug"), but behind every label
    that is named in full.
    """
    words = [word for word in re.split(r"[\s_\-]+", label.strip().lower()) if word]
    if not words:
        return UNNAMED
    full = _find(question, words)
    if full is not None:
        return full
    last = _find(question, words[-1:]) if len(words) > 1 else None
    return UNNAMED // 2 + last if last is not None else UNNAMED


def number_place(question: str, number: int) -> int:
    """Character at which ``question`` names mark ``number``, ``UNNAMED`` where it does not."""
    for match in _NUMBER.finditer(question):
        if int(match.group(1)) == number:
            return match.start()
    return UNNAMED


def _find(question: str, words: Sequence[str]) -> int | None:
    joined = r"[\s_\-]+".join(re.escape(word) for word in words)
    match = re.search(rf"(?<!\w){joined}(?:e?s)?(?!\w)", question.lower())
    return match.start() if match else None
