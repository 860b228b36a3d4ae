"""Questions about a marked scene with exactly known answers, in several wordings.

What the pictures show of a mark is said right after its number: a small model finds the mark in the
pictures only when it has just said it. The scratchpad copies measured numbers from the facts
in the prompt and lists what the pictures show; each verdict follows its evidence at once. Close
calls are not asked. Knows text and geometry, no pixels and no model.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

from oryx_scene.frames import Question
from oryx_scene.synth.sequences import Posed, changed, differs, needle
from oryx_scene.synth.things import MarkedScene, Thing
from oryx_scene.synth.words import COLOURS, SHAPES

# Differences below these are close calls (the facts are rounded to 0.1 m).
LEAST_SIDE_M = 0.15
LEAST_DISTANCE_M = 0.15


@dataclass(frozen=True)
class Asked:
    """One question and its known answer.

    Attributes:
        kind: type of the question, e.g. "colour".
        question: as asked.
        scratchpad: the working that leads there, "" where none is needed.
        answer: the text.
        key: what a judge compares: a word, mark number, "yes"/"no", count or number in metres.
        options: how many keys a guess could take, for chance.
    """

    kind: str
    question: Question
    scratchpad: str
    answer: str
    key: str
    options: int

    @property
    def target(self) -> str:
        """What the model is taught to write."""
        return f"<think> {self.scratchpad}</think>{self.answer}" if self.scratchpad else self.answer


@dataclass(frozen=True)
class _Draw:
    """One scene and the random numbers to ask about it."""

    scene: MarkedScene
    rng: np.random.Generator
    numbers: tuple[int, ...] = field(default=())

    def pick(self, options: Sequence[str]) -> str:
        return options[int(self.rng.integers(len(options)))]

    def marks(self, count: int) -> list[Thing]:
        found = self.rng.permutation(self.numbers)[:count]
        return [self.scene.things[int(number)] for number in found]

    def view(self) -> str:
        return self.pick(self.scene.names)

    @property
    def things(self) -> list[Thing]:
        return [self.scene.things[number] for number in self.numbers]


def _metres(value: float) -> str:
    return f"{round(value, 1) + 0.0:.1f}"


MEASURES = ("right", "ahead", "at", "away")


OPPOSITES = {"right": ("left", "right"), "ahead": ("front", "behind"), "at": ("below", "above")}


def verdict(
    measure: str, marks: tuple[int, int], values: tuple[float, float], asked: str = ""
) -> str:
    """The working of a comparison: "right 3 -0.4; 5 0.3; left; right no".

    Args:
        measure: one of `MEASURES`; "away" compares distances and ends with the nearer mark.
        marks, values: the two, metres.
        asked: the word that a yes/no question has, one of `OPPOSITES`.
    """
    a, b = marks
    less = values[0] < values[1]
    listed = f"{measure} {a} {_metres(values[0])}; {b} {_metres(values[1])}"
    if measure == "away":
        return f"{listed}; {a if less else b}"
    real = OPPOSITES[measure][0 if less else 1]
    return f"{listed}; {real}; {asked} {'yes' if asked == real else 'no'}"


def _article(word: str) -> str:
    return f"an {word}" if word[0] in "aeiou" else f"a {word}"


def _colour(d: _Draw) -> Asked:
    (thing,) = d.marks(1)
    n = thing.number
    text = d.pick(
        [
            f"What colour is mark {n}?",
            f"Which colour has mark {n}?",
            f"Tell me the colour of mark {n}.",
        ]
    )
    answer = f"Mark {n} is {thing.colour}."
    return Asked(
        "colour", Question(text), f"{n} {thing.colour}", answer, thing.colour, len(COLOURS)
    )


def _shape(d: _Draw) -> Asked:
    (thing,) = d.marks(1)
    n = thing.number
    text = d.pick(
        [
            f"What shape is mark {n}?",
            f"Which shape has mark {n}?",
            f"Tell me the shape of mark {n}.",
        ]
    )
    answer = f"Mark {n} is {_article(thing.shape)}."
    return Asked(
        "shape", Question(text), f"{n} {thing.shape}", answer, thing.shape, len(SHAPES) + 1
    )


def _what(d: _Draw) -> Asked:
    (thing,) = d.marks(1)
    n = thing.number
    text = d.pick([f"What is mark {n}?", f"What object is mark {n}?", f"Describe mark {n}."])
    answer = f"Mark {n} is {_article(thing.name)}."
    pad = attributes_of(thing)
    return Asked("what", Question(text), pad, answer, thing.name, len(COLOURS) * len(SHAPES))


def attributes_of(thing: Thing) -> str:
    """Colour and shape, each right behind the number: two words on, a shape is often mistaken."""
    return f"{thing.number} {thing.colour}; {thing.number} {thing.shape}"


@dataclass(frozen=True)
class _Sought:
    """Things that a question describes: by colour, shape or both."""

    colour: str
    shape: str

    @property
    def words(self) -> str:
        return f"{self.colour} {self.shape or 'object'}".strip()

    @property
    def plural(self) -> str:
        words = self.words
        return words + ("es" if words.endswith("x") else "s")

    def fits(self, thing: Thing) -> bool:
        return self.colour in ("", thing.colour) and self.shape in ("", thing.shape)

    def judged(self, thing: Thing) -> str:
        """Each asked attribute after the number, its verdict right behind it, until one fails."""
        said = []
        for sought, real in ((self.colour, thing.colour), (self.shape, thing.shape)):
            if sought:
                said.append(f"{thing.number} {real} {'yes' if real == sought else 'no'}")
                if real != sought:
                    break
        return "; ".join(said)


def _sought(d: _Draw, present: bool) -> _Sought | None:
    """A description; of something that is there if ``present``, else of something that is not."""
    by = d.pick(["both", "both", "colour", "shape"])
    for _ in range(20):
        if present:
            (thing,) = d.marks(1)
            colour, shape = thing.colour, thing.shape
        else:
            colour, shape = d.pick(tuple(COLOURS)), d.pick(SHAPES)
        found = _Sought("" if by == "shape" else colour, "" if by == "colour" else shape)
        if any(map(found.fits, d.things)) == present:
            return found
    return None


def _search(d: _Draw, sought: _Sought) -> tuple[str, Thing | None]:
    """Marks one after the other until the first that fits."""
    said = []
    for thing in d.things:
        said.append(sought.judged(thing))
        if sought.fits(thing):
            return "; ".join(said), thing
    return "; ".join(said), None


def _which(d: _Draw) -> Asked | None:
    sought = _sought(d, present=True)
    if sought is None or sum(map(sought.fits, d.things)) != 1:
        return None
    pad, thing = _search(d, sought)
    assert thing is not None
    text = d.pick(
        [
            f"Which mark is the {sought.words}?",
            f"Which number is on the {sought.words}?",
            f"Find the {sought.words}.",
        ]
    )
    return Asked(
        "which", Question(text), pad, f"Mark {thing.number}.", str(thing.number), len(d.numbers)
    )


def _exists(d: _Draw) -> Asked | None:
    sought = _sought(d, present=bool(d.rng.random() < 0.5))
    if sought is None:
        return None
    pad, thing = _search(d, sought)
    words = _article(sought.words)
    text = d.pick([f"Is there {words}?", f"Do you see {words}?", f"Is {words} in the scene?"])
    answer = f"Yes, mark {thing.number}." if thing else "No."
    return Asked("exists", _yes_no(d, text), pad, answer, "yes" if thing else "no", 2)


def _yes_no(d: _Draw, text: str) -> Question:
    return Question(text, "yes_no" if d.rng.random() < 0.3 else "text")


def _count(d: _Draw) -> Asked | None:
    sought = _sought(d, present=bool(d.rng.random() < 0.85))
    if sought is None:
        return None
    said, total = [], 0
    for thing in d.things:
        total += sought.fits(thing)
        said.append(f"{sought.judged(thing)} {total}")
    text = d.pick(
        [
            f"How many {sought.plural} are there?",
            f"Count the {sought.plural}.",
            f"How many {sought.plural} do you see?",
        ]
    )
    return Asked("count", Question(text), "; ".join(said), f"There are {total}.", str(total), 9)


def _total(d: _Draw) -> Asked:
    text = d.pick(
        ["How many objects are there?", "How many marks are there?", "Count the objects."]
    )
    count = len(d.numbers)
    return Asked("total", Question(text), "", f"There are {count}.", str(count), 8)


def _side(d: _Draw) -> Asked | None:
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


def _front(d: _Draw) -> Asked | None:
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


def _above(d: _Draw) -> Asked | None:
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
    d: _Draw, kind: str, text: str, pad: str, real: str, pair: tuple[Thing, Thing], holds: bool
) -> Asked:
    yes = "Yes" if holds else "No"
    answer = f"{yes}, mark {pair[0].number} is {real} mark {pair[1].number}."
    return Asked(kind, _yes_no(d, text), pad, answer, yes.lower(), 2)


def _on(d: _Draw) -> Asked | None:
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
    return Asked("on", _yes_no(d, text), pad, answer, "yes" if holds else "no", 2)


def _nearest(d: _Draw) -> Asked | None:
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
    pad = f"{n} to {other} {_metres(value)}"
    answer = f"Mark {other} is nearest to mark {n}."
    return Asked("nearest", Question(text), pad, answer, str(other), len(d.numbers) - 1)


def _nearer(d: _Draw) -> Asked | None:
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


def _nearer_camera(d: _Draw) -> Asked | None:
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
    d: _Draw, kind: str, text: str, to: str, pair: tuple[Thing, Thing], away: tuple[float, float]
) -> Asked:
    nearer = pair[0] if away[0] < away[1] else pair[1]
    pad = verdict("away", (pair[0].number, pair[1].number), away)
    answer = f"Mark {nearer.number} is nearer to {to}."
    return Asked(kind, Question(text), pad, answer, str(nearer.number), 2)


def _distance(d: _Draw) -> Asked:
    a, b = (thing.number for thing in d.marks(2))
    text = d.pick(
        [
            f"How far is mark {a} from mark {b}?",
            f"What is the distance between mark {a} and mark {b}?",
            f"How far apart are mark {a} and mark {b}?",
        ]
    )
    value = d.scene.distance(a, b)
    answer = f"Mark {a} is {_metres(value)} m from mark {b}."
    return Asked("distance", Question(text), "", answer, f"{value:.3f}", 0)


def _range(d: _Draw) -> Asked:
    (thing,) = d.marks(1)
    n, view = thing.number, d.view()
    text = d.pick(
        [f"How far is mark {n} from the camera {view}?", f"How far away is mark {n} from {view}?"]
    )
    value = float(np.linalg.norm(d.scene.seen(n, text)))
    answer = f"Mark {n} is {_metres(value)} m away."
    return Asked("range", Question(text), "", answer, f"{value:.3f}", 0)


def _position(d: _Draw) -> Asked:
    (thing,) = d.marks(1)
    n = thing.number
    text = d.pick([f"Where is mark {n}?", f"What is the position of mark {n}?"])
    x, y, z = d.scene.place(n)
    answer = f"Mark {n} is at x {_metres(x)} y {_metres(y)} z {_metres(z)}."
    return Asked("position", Question(text), "", answer, f"{x:.3f} {y:.3f} {z:.3f}", 0)


def _size(d: _Draw) -> Asked | None:
    (thing,) = d.marks(1)
    if thing.size is None:
        return None
    n = thing.number
    text = d.pick([f"How large is mark {n}?", f"How big is mark {n}?", f"What size is mark {n}?"])
    said = " by ".join(map(_metres, thing.size))
    key = " ".join(f"{value:.3f}" for value in thing.size)
    return Asked("size", Question(text), "", f"Mark {n} is {said} m.", key, 0)


def _describe(d: _Draw) -> Asked:
    text = d.pick(["Describe the scene.", "What do you see?", "What is in the scene?"])
    answer = " ".join(f"Mark {t.number} is {_article(t.name)}." for t in d.things)
    pad = "; ".join(map(attributes_of, d.things))
    key = "; ".join(f"{t.number} {t.name}" for t in d.things)
    return Asked("describe", Question(text), pad, answer, key, 0)


def _posed(
    kind: str, make: Callable[[MarkedScene, np.random.Generator], Posed | None]
) -> tuple[int, Callable[[_Draw], Asked | None]]:
    """The maker of a question of `sequences`."""

    def maker(d: _Draw) -> Asked | None:
        found = make(d.scene, d.rng)
        if found is None:
            return None
        return Asked(kind, Question(found.text), "", found.answer, found.key, found.options)

    return 1, maker


_MAKERS: dict[str, tuple[int, Callable[[_Draw], Asked | None]]] = {
    # kind: (fewest marks, maker)
    "colour": (1, _colour),
    "shape": (1, _shape),
    "what": (1, _what),
    "which": (2, _which),
    "exists": (1, _exists),
    "count": (1, _count),
    "total": (1, _total),
    "left_right": (2, _side),
    "front_behind": (2, _front),
    "above_below": (2, _above),
    "on": (2, _on),
    "nearest": (3, _nearest),
    "nearer": (3, _nearer),
    "nearer_camera": (2, _nearer_camera),
    "distance": (2, _distance),
    "range": (1, _range),
    "position": (1, _position),
    "size": (1, _size),
    "describe": (1, _describe),
    "needle": _posed("needle", needle),
    "differs": _posed("differs", differs),
    "changed": _posed("changed", changed),
}
KINDS = tuple(_MAKERS)
# Answered from what the pictures show, and from measured facts in the prompt.
PICTURE_KINDS = ("colour", "shape", "what", "which", "exists", "count", "describe", "needle")
FACT_KINDS = tuple(kind for kind in KINDS if kind not in PICTURE_KINDS)


def ask(scene: MarkedScene, kind: str, rng: np.random.Generator, tries: int = 8) -> Asked | None:
    """One question of ``kind``; None where the scene has none that is no close call."""
    fewest, maker = _MAKERS[kind]
    numbers = tuple(sorted(scene.things))
    if len(numbers) < fewest:
        return None
    draw = _Draw(scene, rng, numbers)
    for _ in range(tries):
        found = maker(draw)
        if found is not None:
            return found
    return None
