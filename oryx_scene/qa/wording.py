"""The words around the pictures: what the marks are, which measured facts fit, how to answer.

Always-on facts do not help a model and sometimes mislead it (order, direction), so a fact is
attached only where the question asks for its kind. Text only; no pixels, no tokens.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from enum import Enum

from oryx_scene.errors import QuestionError
from oryx_scene.records import Mark, Question

MAX_QUESTION_BYTES = 32 * 1024
SYSTEM_TEXT = "You are a helpful assistant."


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


def check_question(question: Question) -> Question:
    """Return ``question`` if it can be asked.

    Raises:
        QuestionError: empty, longer than 32 KiB, not valid text, or a format that lacks its part.
    """
    text = question.text
    if not text.strip():
        raise QuestionError("the question is empty.", hint='ask something, e.g. -q "What is here?"')
    try:
        size = len(text.encode("utf-8"))
    except UnicodeEncodeError as err:
        raise QuestionError(
            f"the question is not valid UTF-8 (at character {err.start}).",
            hint="check the encoding of the terminal or the file that the question comes from",
        ) from err
    if "\x00" in text:
        raise QuestionError("the question holds a NUL character.", hint="remove it")
    if size > MAX_QUESTION_BYTES:
        raise QuestionError(
            f"the question is {size} bytes long; at most {MAX_QUESTION_BYTES} are taken.",
            hint="shorten the question",
        )
    formats = ("text", "yes_no", "choice", "marks", "json")
    if question.format not in formats:
        raise QuestionError(
            f"unknown answer format '{question.format}'.", hint=f"one of {', '.join(formats)}"
        )
    if question.format == "choice" and len(question.choices) < 2:
        raise QuestionError(
            f"a choice question needs at least 2 choices, got {len(question.choices)}.",
            hint="list the allowed answers",
        )
    if question.format == "choice" and not all(choice.strip() for choice in question.choices):
        raise QuestionError(
            "a choice is empty.", hint="give each choice at least one visible character"
        )
    if question.format == "json" and not question.json_schema:
        raise QuestionError("a JSON question needs a schema.", hint="give a JSON schema")
    return question


def _metres(value: float) -> str:
    # A rounded -0.0 would read as a direction.
    return f"{round(value, 1) + 0.0:.1f}"


def position_facts(marks: Sequence[Mark]) -> str:
    """Places of the marks in the fixed frame, metres rounded to 0.1; "" if none is known."""
    placed = [mark for mark in marks if mark.position is not None]
    if not placed:
        return ""
    listed = "; ".join(
        f"{mark.number} x {_metres(p[0])} y {_metres(p[1])} z {_metres(p[2])}"
        for mark in placed
        if (p := mark.position) is not None
    )
    return f"Measured places in {placed[0].frame_id or 'the map'}, metres: {listed}."


def height_facts(marks: Sequence[Mark]) -> str:
    """Heights of the marks' middles in a fixed frame whose z is up; "" if none is known."""
    placed = [(mark.number, mark.position[2]) for mark in marks if mark.position is not None]
    if not placed:
        return ""
    listed = "; ".join(f"{number} {_metres(z)}" for number, z in placed)
    return f"Measured heights, metres: {listed}."


SIDEWAYS, AHEAD = "right", "ahead"
_SIDE_WORDS = re.compile(r"\b(?:left|right|leftmost|rightmost)\b")
_DEPTH_WORDS = re.compile(r"\bin front\b|\bbehind\b|\bahead\b")


def asked_axes(lowered: str) -> tuple[str, ...]:
    """The directions that a question in small letters, without its viewpoint, is about."""
    side, depth = bool(_SIDE_WORDS.search(lowered)), bool(_DEPTH_WORDS.search(lowered))
    if side != depth:
        return (SIDEWAYS,) if side else (AHEAD,)
    return (SIDEWAYS, AHEAD)


def direction_facts(
    seen: Sequence[tuple[int, tuple[float, float, float]]],
    viewpoint: str,
    axes: Sequence[str] = (SIDEWAYS, AHEAD),
) -> str:
    """Places as seen from a camera.

    Args:
        seen: (mark number, point in the camera's optical frame: x right, y down, z forward).
        viewpoint: name of that view.
        axes: which directions to tell.
    """
    if not seen:
        return ""
    # Each value right after its mark: what is looked up by one word is looked up reliably.
    index = {SIDEWAYS: 0, AHEAD: 2}
    lists = [
        f"metres {axis}: "
        + "; ".join(f"{number} {_metres(point[index[axis]])}" for number, point in seen)
        for axis in axes
    ]
    return f"Measured from {viewpoint}, {'; '.join(lists)}."


def distance_facts(pairs: Sequence[tuple[int, int, float]], viewpoint: str = "") -> str:
    """Measured distances in the order given; object 0 stands for the viewpoint."""
    between = "; ".join(f"{a} to {b} {_metres(value)}" for a, b, value in pairs if b)
    # As with directions, each value right after its mark.
    away = "; ".join(f"{a} {_metres(value)}" for a, b, value in pairs if not b)
    lines = [
        f"Measured distances, metres: {between}." if between else "",
        f"Measured from {viewpoint}, metres away: {away}." if away else "",
    ]
    return " ".join(line for line in lines if line)


def size_facts(marks: Sequence[Mark]) -> str:
    """Measured extents along the fixed frame's axes, metres rounded to 0.1."""
    sized = [(mark.number, mark.size) for mark in marks if mark.size is not None]
    if not sized:
        return ""
    listed = "; ".join(
        f"{number} {_metres(s[0])} by {_metres(s[1])} by {_metres(s[2])}" for number, s in sized
    )
    return f"Measured sizes, metres: {listed}."


def contact_facts(pairs: Sequence[tuple[int, int]]) -> str:
    """Which mark was measured to stand on which: (upper, lower)."""
    listed = "; ".join(f"{a} on {b}" for a, b in pairs) or "no mark on another"
    return f"Measured contacts: {listed}."


def format_text(question: Question) -> str:
    """One line that says how to answer; an exact instruction is worth more than any fact."""
    if question.format == "yes_no":
        return "Answer yes or no."
    if question.format == "choice":
        return f"Answer with one of: {'; '.join(question.choices)}."
    if question.format == "marks":
        return "Answer with mark numbers only."
    if question.format == "json":
        return "Answer with JSON that fits this schema: " + question.json_schema
    return ""


def question_text(question: Question, facts: Sequence[str]) -> str:
    """The text after the views: facts that fit, the question, how to answer."""
    parts = [*facts, question.text.strip(), format_text(question)]
    return "\n".join(part for part in parts if part)
