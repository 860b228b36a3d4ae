"""What a question's words ask for: kinds of facts, directions, and the views that it speaks of.

"frame 3", "view 3" and "picture 3" are the third view, counted from 1. Names that are also
directions ("left", "front") count only as views: "from left", "the left camera". Text only; `names`
are those by which the prompt calls the views.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

from oryx_scene.scene.prompt_text import SEQUENCE_VIEWS


class QuestionKind(str, Enum):
    """Which measured facts fit a question."""

    DIRECTION = "direction"
    HEIGHT = "height"
    CONTACT = "contact"
    DISTANCE = "distance"
    POSITION = "position"
    SIZE = "size"
    CHANGE = "change"
    SIGHTING = "sighting"
    OTHER = "other"


_KIND_WORDS: tuple[tuple[QuestionKind, str], ...] = (
    (
        QuestionKind.DISTANCE,
        r"how far|how close|distance|near(?:est|er)|close(?:st|r)|f[au]rthest|met(?:er|re)s?",
    ),
    (
        QuestionKind.DIRECTION,
        r"\bleft\b|\bright\b|\bleftmost\b|\brightmost\b|in front|\bbehind\b|\bahead\b|\bnext to\b"
        r"|\bbeside\b|\bdirection\b"
        # Between marks, not between views.
        r"|(?<!differs )(?<!differ )(?<!differences )(?<!difference )(?<!different )(?<!changed )"
        r"\bbetween\b(?!\s+(?:the\s+)?(?:frame|view|picture|image|photo)s?\b)",
    ),
    (
        QuestionKind.HEIGHT,
        r"\babove\b|\bbelow\b|\bunder\b|\bhigher\b|\blower\b|\bhighest\b|\blowest\b",
    ),
    (
        QuestionKind.CONTACT,
        r"\bon top\b|\bon (?:a |the )?(?:mark|object)\b|\b(?:stands?|standing|lies?|rests?) on\b",
    ),
    (QuestionKind.SIZE, r"how (?:big|large|tall|wide|high|long)|\bsize\b|\bheight\b|\bwidth\b"),
    (
        QuestionKind.CHANGE,
        r"\bchang(?:e|es|ed|ing)\b|\bnew\b|\bgone\b|\bmissing\b|\b(?:dis)?appeared\b|\bmoved\b"
        r"|\bremoved\b|\badded\b|\b(?:taken|took) away\b",
    ),
    (QuestionKind.POSITION, r"\bwhere\b|\bposition\b|\bcoordinates?\b|\blocated\b|\blocation\b"),
)


def question_kinds(text: str) -> tuple[QuestionKind, ...]:
    """Which kinds of measured facts ``text`` asks for; (OTHER,) if none."""
    lowered = text.lower()
    found = tuple(kind for kind, words in _KIND_WORDS if re.search(words, lowered))
    return found or (QuestionKind.OTHER,)


SIDEWAYS, AHEAD = "right", "ahead"
_SIDE_WORDS = re.compile(r"\b(?:left|right|leftmost|rightmost)\b")
_DEPTH_WORDS = re.compile(r"\bin front\b|\bbehind\b|\bahead\b")


def asked_axes(lowered: str) -> tuple[str, ...]:
    """The directions that a question in small letters, without its viewpoint, is about."""
    side, depth = bool(_SIDE_WORDS.search(lowered)), bool(_DEPTH_WORDS.search(lowered))
    if side != depth:
        return (SIDEWAYS,) if side else (AHEAD,)
    return (SIDEWAYS, AHEAD)


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


def viewpoint_of(question: str, names: Sequence[str], newest: int) -> int:
    """Index of the view that directions are stated from.

    The view whose name the question says, the longest name first; else the ``newest``.
    """
    lowered = question.lower()
    said = [
        (len(name), index)
        for index, name in enumerate(names)
        if re.search(name_pattern(name.lower()), lowered)
    ]
    return max(said, key=lambda item: (item[0], -item[1]))[1] if said else newest


@dataclass(frozen=True)
class NamedView:
    """A view whose contents a question speaks of.

    Attributes:
        index: of the view.
        name: what the question calls it: its name, or "view 3".
        start, end: where in the question.
    """

    index: int
    name: str
    start: int
    end: int


def without_views(question: str, named: Sequence[NamedView]) -> str:
    """The question without the views whose contents it speaks of: "left 2" asks for no side."""
    for one in reversed(named):
        question = f"{question[: one.start]}view{question[one.end :]}"
    return question


def without_counted_views(question: str) -> str:
    """The question without views named by a number: "frame 12" and "picture #3" are no marks."""
    return _COUNTED.sub("view", question)


def named_views(question: str, names: Sequence[str]) -> tuple[NamedView, ...]:
    """Views whose contents a question speaks of, as they are named; one may be named twice.

    A view that is only the viewpoint ("from hand 2") is not among them.
    """
    left = question.lower()
    found: list[NamedView] = []
    # The longest names first: "hand 12" is not "hand 1". A sequence has numbers only.
    listed = range(len(names) if len(names) <= SEQUENCE_VIEWS else 0)
    for index in sorted(listed, key=lambda i: -len(names[i])):
        for match in re.finditer(name_pattern(names[index].lower()), left):
            if not _VIEWPOINT.search(left[: match.start()]) and match[0][:4] != "from":
                found.append(NamedView(index, names[index], *match.span()))
            left = left[: match.start()] + "_" * len(match[0]) + left[match.end() :]
    for match in _COUNTED.finditer(left):
        if _VIEWPOINT.search(left[: match.start()]):
            continue
        for number in re.finditer(r"\d+", match[0]):
            index = int(number[0]) - 1
            if 0 <= index < len(names):
                start, end = (match.start() + at for at in number.span())
                found.append(NamedView(index, f"view {index + 1}", start, end))
    return tuple(sorted(found, key=lambda one: one.start))
