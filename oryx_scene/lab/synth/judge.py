"""Whether a text answers a synthetic question: what it says is read out and compared with the key.

Words of politeness do not count, other words than the known ones are wrong. Numbers in metres are
right within a stated tolerance.
"""

from __future__ import annotations

import re

from oryx_scene.lab.synth.marked_scene import NOTHING
from oryx_scene.lab.synth.question_types import SceneQuestion
from oryx_scene.lab.synth.sequences import NONE
from oryx_scene.lab.synth.words import COLOURS, FURNITURE, SHAPES
from oryx_scene.qa.parse import read_verdict, split_scratchpad

YES_NO = frozenset(("exists", "left_right", "front_behind", "above_below", "on"))
MARK = frozenset(("which", "nearest", "nearer", "nearer_camera"))
METRES = frozenset(("distance", "range"))
TOLERANCE_M = 0.2
_WORDS = {"colour": tuple(COLOURS), "shape": (*SHAPES, FURNITURE)}

_SAID = "|".join((*NOTHING, *COLOURS, *SHAPES, FURNITURE))
# Kinds that tell something of several marks, in any order.
LISTS = {
    "needle": re.compile(rf"\b(\d+)(?: is an?)?((?: (?:{_SAID})\b)+)"),
    "differs": re.compile(r"\b(\d+)(?: is)? (only in [\w /-]+)"),
    "changed": re.compile(r"\b(\d+)(?: is)? (gone|new)\b"),
}


def said(kind: str, raw: str) -> str:
    """The key that a text gives, "" where it gives none."""
    text, _ = split_scratchpad(raw)
    if kind in YES_NO:
        return read_verdict(text)
    if kind in MARK:
        found = re.search(r"\b[Mm]ark (\d+)", text) or re.fullmatch(r"\W*(\d+)\W*", text)
        return found.group(1) if found else ""
    if kind in ("count", "total"):
        found = re.search(r"\d+", text)
        return found.group(0) if found else ""
    if kind in METRES:
        found = re.search(r"-?\d+\.\d+", text)
        return found.group(0) if found else ""
    if kind in ("position", "size"):
        return " ".join(re.findall(r"-?\d+\.\d+", text))
    return _list(kind, text) if kind in LISTS else _named(kind, text)


def _named(kind: str, text: str) -> str:
    if kind == "describe":
        parts = re.findall(r"[Mm]ark (\d+) is an? (\w+ \w+)", text)
        return "; ".join(f"{number} {name}" for number, name in parts)
    if kind == "what":
        return f"{_one(text, _WORDS['colour'])} {_one(text, _WORDS['shape'])}".strip()
    return _one(text, _WORDS[kind])


def _list(kind: str, text: str) -> str:
    """What a text says of each mark, by number; NONE where it says that there is nothing."""
    told: dict[int, list[str]] = {}
    for number, words in LISTS[kind].findall(text):
        told.setdefault(int(number), []).extend([words] if kind == "differs" else words.split())
    if not told:
        return NONE if re.match(r"\W*(?:none|nothing)\b", text, re.IGNORECASE) else ""
    # A colour is said before a shape, in whichever order they come.
    return "; ".join(f"{n} {' '.join(_sorted(kind, told[n]))}" for n in sorted(told))


def _sorted(kind: str, words: list[str]) -> list[str]:
    if kind != "needle":
        return words
    return sorted(dict.fromkeys(words), key=lambda word: word in (*_WORDS["shape"], NOTHING[1]))


def _one(text: str, words: tuple[str, ...]) -> str:
    found = {word for word in words if re.search(rf"\b{word}\b", text)}
    return found.pop() if len(found) == 1 else ""


def error_m(asked: SceneQuestion, raw: str) -> float:
    """Distance in metres between the stated and the true number or place; inf where none is."""
    numbers = [float(value) for value in said(asked.kind, raw).split()]
    true = [float(value) for value in asked.key.split()]
    if len(numbers) != len(true):
        return float("inf")
    return float(sum((a - b) ** 2 for a, b in zip(numbers, true, strict=True)) ** 0.5)


def right(asked: SceneQuestion, raw: str, tolerance_m: float = TOLERANCE_M) -> bool:
    """Whether ``raw`` answers ``asked``."""
    if asked.kind in (*METRES, "position", "size"):
        return error_m(asked, raw) <= tolerance_m
    return said(asked.kind, raw) == asked.key
