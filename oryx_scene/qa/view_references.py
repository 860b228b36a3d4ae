"""Which views a question speaks of: by name, or by their place in the order of the prompt.

"frame 3", "view 3" and "picture 3" are the third view, counted from 1. Names that are also
directions ("left", "front") count only as views: "from left", "the left camera".
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from oryx_scene.records import ViewSet
from oryx_scene.scene.prompt_text import view_names

_DIRECTIONS = frozenset(("front", "back", "left", "right", "up", "down", "top", "bottom"))
_WORD = r"(?:frame|view|picture|image|photo)s?"
_COUNTED = re.compile(
    rf"\b{_WORD}\s+(?:number\s+)?#?\d{{1,3}}"
    rf"(?:\s*(?:,\s*and|,|and|or|to|&)\s*(?:{_WORD}\s+)?#?\d{{1,3}}\b)*",
    re.IGNORECASE,
)
# A view after these words is where something is seen from.
_VIEWPOINT = re.compile(r"\b(?:from|to)\s+(?:the\s+)?(?:camera\s+|view\s+)?$", re.IGNORECASE)


def name_pattern(name: str) -> str:
    """Regular expression that finds a view's name, in small letters, in a question."""
    word = rf"(?<!\w){re.escape(name)}(?!\w)"
    if name not in _DIRECTIONS:
        return word
    return (
        rf"\b(?:from|camera|view)\s+(?:the\s+)?(?:camera\s+|view\s+)?{word}(?!\s+of\b)"
        rf"|{word}\s+(?:camera|view)\b"
    )


@dataclass(frozen=True)
class _Naming:
    """One view named in a question, and where."""

    start: int
    end: int
    index: int
    name: str


def named_views(question: str, views: ViewSet) -> tuple[tuple[int, str], ...]:
    """Views whose contents a question speaks of: (index, what the prompt calls it), as named.

    A view that is only the viewpoint ("from hand 2") is not among them.
    """
    found = _namings(question, views)
    return tuple({one.index: (one.index, one.name) for one in found}.values())


def without_views(question: str, views: ViewSet) -> str:
    """The question without the views whose contents it speaks of: "left 2" asks for no side."""
    for one in reversed(_namings(question, views)):
        question = f"{question[: one.start]}view{question[one.end :]}"
    return question


def without_counted_views(question: str) -> str:
    """The question without views named by a number: "frame 12" and "picture #3" are no marks."""
    return _COUNTED.sub("view", question)


def _namings(question: str, views: ViewSet) -> list[_Naming]:
    names = view_names([frame.camera for frame in views.frames])
    left = question.lower()
    found: list[_Naming] = []
    # The longest names first: "hand 12" is not "hand 1".
    for index in sorted(range(len(names)), key=lambda i: -len(names[i])):
        for match in re.finditer(name_pattern(names[index].lower()), left):
            if not _VIEWPOINT.search(left[: match.start()]) and match[0][:4] != "from":
                found.append(_Naming(*match.span(), index, names[index]))
            left = left[: match.start()] + "_" * len(match[0]) + left[match.end() :]
    for match in _COUNTED.finditer(left):
        if _VIEWPOINT.search(left[: match.start()]):
            continue
        for number in re.finditer(r"\d+", match[0]):
            index = int(number[0]) - 1
            if 0 <= index < len(names):
                start, end = (match.start() + at for at in number.span())
                found.append(_Naming(start, end, index, f"view {index + 1}"))
    return sorted(found, key=lambda one: one.start)
