"""Questions about a drive with their keys: where a thing was last seen, and whether it is there.

Keys are what a robot that forgets nothing could know at the asked time: where and when the newest
frame showed the thing, and whether a frame since then would have shown it there. A thing that was
carried away without any frame showing so is still "seen" for it.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import Any

import numpy as np

from oryx_scene.lab.synth.words import COLOURS, SHAPES
from oryx_scene.records import Vector3

# Kind -> the status that answers it rightly.
KINDS = {
    "still": "seen",
    "moved": "seen",
    "unnoticed": "seen",
    "gone": "gone",
    "never": "never",
    "several": "several",
}
# A thing counts as shown from this many frames on.
LEAST_FRAMES = 2
_NEVER_PER_MOMENT = 3


@dataclass(frozen=True)
class Sight:
    """A thing as it was last seen up to some time.

    Attributes:
        position: where, metres.
        last_seen_ns: stamp of the newest frame that shows it.
        first_missed_ns: stamp of the first frame since that would show it there; None: none.
        removed: it is not there any more, seen or not.
        moved: it was seen at another place before.
    """

    position: Vector3
    last_seen_ns: int
    first_missed_ns: int | None
    removed: bool
    moved: bool


@dataclass(frozen=True)
class MemoryQuestion:
    """One question and its key.

    Attributes:
        text: as a user asks.
        kind: of :data:`KINDS`: "still" there, "moved" and seen again, carried away "unnoticed",
            "gone", "never" seen, or "several" things of that name.
        at_ns: the clock of the question.
        sights: of the things that the words mean.
        things: their ids.
    """

    text: str
    kind: str
    at_ns: int
    sights: tuple[Sight, ...] = ()
    things: tuple[int, ...] = ()

    @property
    def status(self) -> str:
        """The right one."""
        return KINDS[self.kind]


def place_at(thing: dict[str, Any], stamp_ns: int) -> dict[str, Any] | None:
    """The place of a thing of the truth at a time; None where it is not there."""
    for place in thing["places"]:
        if place["from_ns"] <= stamp_ns < (place["to_ns"] or stamp_ns + 1):
            found: dict[str, Any] = place
            return found
    return None


def last_sight(truth: dict[str, Any], thing: dict[str, Any], at_ns: int) -> Sight | None:
    """What a perfect memory knows of a thing at ``at_ns``; None where it was hardly shown."""
    period = (truth["end_ns"] - truth["start_ns"]) / max(1, truth["frames"] - 1)
    runs = [(a, min(b, at_ns)) for a, b in thing["visible"] if a <= at_ns]
    if sum(round((b - a) / period) + 1 for a, b in runs) < LEAST_FRAMES:
        return None
    last = runs[-1][1]
    place = place_at(thing, last)
    assert place is not None
    removed = place["to_ns"] is not None and place["to_ns"] <= at_ns
    missed = _missed(truth, thing["id"], place["to_ns"]) if removed else None
    x, y, z = place["position"]
    return Sight(
        (x, y, z),
        last,
        missed if missed is not None and missed <= at_ns else None,
        removed,
        any(place_at(thing, start) is not place for start, _ in runs),
    )


def _missed(truth: dict[str, Any], object_id: int, stamp_ns: int) -> int | None:
    for event in truth["events"]:
        if event["id"] == object_id and event["stamp_ns"] == stamp_ns:
            found: int | None = event["first_missed_ns"]
            return found
    return None


def questions_at(truth: dict[str, Any], at_ns: int, seed: int = 0) -> list[MemoryQuestion]:
    """All questions about a drive at one moment, by name.

    Args:
        truth: of the drive (docs/drive.md).
        at_ns: the clock of the questions.
        seed: of the names that are asked for though nothing of that name was ever shown.
    """
    named: dict[str, list[dict[str, Any]]] = {}
    for thing in truth["things"]:
        if thing["shape"] in SHAPES:
            named.setdefault(thing["name"], []).append(thing)
    found = []
    for name, things in sorted(named.items()):
        question = _ask(truth, name, things, at_ns)
        if question is not None:
            found.append(question)
    # What a single frame or a few pixels showed is neither known nor never seen.
    shown = {t["name"] for t in truth["things"] if any(a <= at_ns for a, _ in t["visible"])}
    every = {f"{colour} {shape}" for colour, shape in itertools.product(COLOURS, SHAPES)}
    absent = sorted(every - shown)
    rng = np.random.default_rng([seed, 41])
    for index in rng.permutation(len(absent))[:_NEVER_PER_MOMENT]:
        found.append(MemoryQuestion(_words(absent[index]), "never", at_ns))
    return found


def _words(name: str) -> str:
    return f"where did you last see the {name}?"


def _ask(
    truth: dict[str, Any], name: str, things: list[dict[str, Any]], at_ns: int
) -> MemoryQuestion | None:
    known = [(t["id"], s) for t in things if (s := last_sight(truth, t, at_ns)) is not None]
    if not known:
        return None
    ids = tuple(object_id for object_id, _ in known)
    sights = tuple(sight for _, sight in known)
    if len(sights) > 1:
        # Whether two equal things changed places cannot be known: only those that stayed count.
        if any(sight.removed or sight.moved for sight in sights):
            return None
        return MemoryQuestion(_words(name), "several", at_ns, sights, ids)
    (sight,) = sights
    if sight.first_missed_ns is not None:
        kind = "gone"
    elif sight.removed:
        kind = "unnoticed"
    else:
        kind = "moved" if sight.moved else "still"
    return MemoryQuestion(_words(name), kind, at_ns, sights, ids)
