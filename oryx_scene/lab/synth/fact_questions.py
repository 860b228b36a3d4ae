"""Questions that measured facts answer: sides, heights, contacts, distances, places, sizes.

The scratchpad copies measured numbers from the facts in the prompt and compares them. Close calls
are not asked.
"""

from __future__ import annotations

import numpy as np

from oryx_scene.lab.synth.marked_scene import MarkedObject
from oryx_scene.lab.synth.question_types import Draw, SceneQuestion, metres, verdict, yes_no
from oryx_scene.records import Question

# Differences below these are close calls (the facts are rounded to 0.1 m).
LEAST_SIDE_M = 0.15
LEAST_DISTANCE_M = 0.15


def total(d: Draw) -> SceneQuestion:
    """How many marks."""
    text = d.pick(
        ["How many objects are there?", "How many marks are there?", "Count the objects."]
    )
    count = len(d.numbers)
    return SceneQuestion("total", Question(text), "", f"There are {count}.", str(count), 8)


def side(d: Draw) -> SceneQuestion | None:
    """Left or right, from a named view."""
    a, b = d.marks(2)
    view, asked = d.view(), d.pick(["left", "right"])
    text = d.pick(
        [
            f"Seen from {view}, is mark {a.number} {asked} of mark {b.number}?",
            f"Is mark {a.number} to the {asked} of mark {b.number} from {view}?",
            f"From {view}, is mark {a.number} {asked} of mark {b.number}?",
        ]
    )
    xa, xb = (float(d.scene.seen(t.number, text)[0]) for t in (a, b))
    if abs(xa - xb) < LEAST_SIDE_M:
        return None
    real = "left" if xa < xb else "right"
    pad = verdict("right", (a.number, b.number), (xa, xb), asked)
    return _relation(d, "left_right", text, pad, f"{real} of", (a, b), real == asked)


def front(d: Draw) -> SceneQuestion | None:
    """In front of or behind, from a named view."""
    a, b = d.marks(2)
    view, asked = d.view(), d.pick(["in front of", "behind"])
    text = d.pick(
        [
            f"Seen from {view}, is mark {a.number} {asked} mark {b.number}?",
            f"Is mark {a.number} {asked} mark {b.number} from {view}?",
            f"From {view}, is mark {a.number} {asked} mark {b.number}?",
        ]
    )
    za, zb = (float(d.scene.seen(t.number, text)[2]) for t in (a, b))
    if abs(za - zb) < LEAST_SIDE_M:
        return None
    real = "in front of" if za < zb else "behind"
    return _relation(
        d,
        "front_behind",
        text,
        verdict(
            "ahead", (a.number, b.number), (za, zb), "behind" if asked == "behind" else "front"
        ),
        real,
        (a, b),
        real == asked,
    )


def above(d: Draw) -> SceneQuestion | None:
    """Above or below."""
    a, b = d.marks(2)
    asked = d.pick(["above", "below"])
    za, zb = float(d.scene.place(a.number)[2]), float(d.scene.place(b.number)[2])
    if abs(za - zb) < LEAST_SIDE_M:
        return None
    real = "above" if za > zb else "below"
    text = d.pick(
        [
            f"Is mark {a.number} {asked} mark {b.number}?",
            f"Is the middle of mark {a.number} {asked} that of mark {b.number}?",
        ]
    )
    pad = verdict("at", (a.number, b.number), (za, zb), asked)
    return _relation(d, "above_below", text, pad, real, (a, b), real == asked)


def _relation(
    d: Draw,
    kind: str,
    text: str,
    pad: str,
    real: str,
    pair: tuple[MarkedObject, MarkedObject],
    holds: bool,
) -> SceneQuestion:
    yes = "Yes" if holds else "No"
    answer = f"{yes}, mark {pair[0].number} is {real} mark {pair[1].number}."
    return SceneQuestion(kind, yes_no(d, text), pad, answer, yes.lower(), 2)


def on(d: Draw) -> SceneQuestion | None:
    """Whether one stands on another."""
    a, b = d.marks(2)
    if d.scene.on and d.rng.random() < 0.6:
        pairs = sorted(p for p in d.scene.on if set(p) <= set(d.numbers))
        if not pairs:
            return None
        upper, lower = pairs[int(d.rng.integers(len(pairs)))]
        a, b = d.scene.things[upper], d.scene.things[lower]
    holds = (a.number, b.number) in d.scene.on
    text = d.pick(
        [
            f"Is mark {a.number} on mark {b.number}?",
            f"Does mark {a.number} stand on mark {b.number}?",
            f"Is mark {a.number} on top of mark {b.number}?",
        ]
    )
    below = next((str(low) for up, low in sorted(d.scene.on) if up == a.number), "none")
    said = "on" if holds else "not on"
    answer = f"{'Yes' if holds else 'No'}, mark {a.number} is {said} mark {b.number}."
    pad = f"{a.number} on {below}"
    return SceneQuestion("on", yes_no(d, text), pad, answer, "yes" if holds else "no", 2)


def nearest(d: Draw) -> SceneQuestion | None:
    """The nearest mark to a mark."""
    if len(d.numbers) < 3:
        return None
    (thing,) = d.marks(1)
    ranked = sorted((d.scene.distance(thing.number, o), o) for o in d.numbers if o != thing.number)
    if ranked[1][0] - ranked[0][0] < LEAST_DISTANCE_M:
        return None
    value, other = ranked[0]
    n = thing.number
    text = d.pick(
        [
            f"Which mark is nearest to mark {n}?",
            f"Which mark is closest to mark {n}?",
            f"What is the nearest mark to mark {n}?",
        ]
    )
    pad = f"{n} to {other} {metres(value)}"
    answer = f"Mark {other} is nearest to mark {n}."
    return SceneQuestion("nearest", Question(text), pad, answer, str(other), len(d.numbers) - 1)


def nearer(d: Draw) -> SceneQuestion | None:
    """Which of two marks is nearer to a third."""
    if len(d.numbers) < 3:
        return None
    c, a, b = d.marks(3)
    da, db = (d.scene.distance(c.number, t.number) for t in (a, b))
    if abs(da - db) < LEAST_DISTANCE_M:
        return None
    text = d.pick(
        [
            f"Which is nearer to mark {c.number}, mark {a.number} or mark {b.number}?",
            f"Which is closer to mark {c.number}: mark {a.number} or mark {b.number}?",
        ]
    )
    return _compared(d, "nearer", text, f"mark {c.number}", (a, b), (da, db))


def nearer_camera(d: Draw) -> SceneQuestion | None:
    """Which of two marks is nearer to a view."""
    a, b = d.marks(2)
    view = d.view()
    text = d.pick(
        [
            f"Which is nearer to the camera {view}, mark {a.number} or mark {b.number}?",
            f"Which is closer to camera {view}: mark {a.number} or mark {b.number}?",
        ]
    )
    da, db = (float(np.linalg.norm(d.scene.seen(t.number, text))) for t in (a, b))
    if abs(da - db) < LEAST_DISTANCE_M:
        return None
    return _compared(d, "nearer_camera", text, "the camera", (a, b), (da, db))


def _compared(
    d: Draw,
    kind: str,
    text: str,
    to: str,
    pair: tuple[MarkedObject, MarkedObject],
    away: tuple[float, float],
) -> SceneQuestion:
    nearer = pair[0] if away[0] < away[1] else pair[1]
    pad = verdict("away", (pair[0].number, pair[1].number), away)
    answer = f"Mark {nearer.number} is nearer to {to}."
    return SceneQuestion(kind, Question(text), pad, answer, str(nearer.number), 2)


def distance(d: Draw) -> SceneQuestion:
    """Metres between two marks."""
    a, b = (thing.number for thing in d.marks(2))
    text = d.pick(
        [
            f"How far is mark {a} from mark {b}?",
            f"What is the distance between mark {a} and mark {b}?",
            f"How far apart are mark {a} and mark {b}?",
        ]
    )
    value = d.scene.distance(a, b)
    answer = f"Mark {a} is {metres(value)} m from mark {b}."
    return SceneQuestion("distance", Question(text), "", answer, f"{value:.3f}", 0)


def away(d: Draw) -> SceneQuestion:
    """Metres from a view to a mark."""
    (thing,) = d.marks(1)
    n, view = thing.number, d.view()
    text = d.pick(
        [f"How far is mark {n} from the camera {view}?", f"How far away is mark {n} from {view}?"]
    )
    value = float(np.linalg.norm(d.scene.seen(n, text)))
    answer = f"Mark {n} is {metres(value)} m away."
    return SceneQuestion("range", Question(text), "", answer, f"{value:.3f}", 0)


def position(d: Draw) -> SceneQuestion:
    """Where a mark is in the fixed frame."""
    (thing,) = d.marks(1)
    n = thing.number
    text = d.pick([f"Where is mark {n}?", f"What is the position of mark {n}?"])
    x, y, z = d.scene.place(n)
    answer = f"Mark {n} is at x {metres(x)} y {metres(y)} z {metres(z)}."
    return SceneQuestion("position", Question(text), "", answer, f"{x:.3f} {y:.3f} {z:.3f}", 0)


def size(d: Draw) -> SceneQuestion | None:
    """How large a mark is along the axes of the fixed frame."""
    (thing,) = d.marks(1)
    if thing.size is None:
        return None
    n = thing.number
    text = d.pick([f"How large is mark {n}?", f"How big is mark {n}?", f"What size is mark {n}?"])
    said = " by ".join(map(metres, thing.size))
    key = " ".join(f"{value:.3f}" for value in thing.size)
    return SceneQuestion("size", Question(text), "", f"Mark {n} is {said} m.", key, 0)
