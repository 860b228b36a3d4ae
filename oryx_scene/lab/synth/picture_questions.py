"""Questions that pictures answer: colour, shape, which mark, whether, how many, the whole scene.

What the pictures show of a mark is said right after its number: a small model finds the mark in the
pictures only when it has just said it. Each verdict follows its evidence at once.
"""

from __future__ import annotations

from dataclasses import dataclass

from oryx_scene.lab.synth.marked_scene import MarkedObject
from oryx_scene.lab.synth.question_types import Draw, SceneQuestion, article, yes_no
from oryx_scene.lab.synth.words import COLOURS, SHAPES
from oryx_scene.records import Question


def colour(d: Draw) -> SceneQuestion:
    """The colour of a mark."""
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
    return SceneQuestion(
        "colour", Question(text), f"{n} {thing.colour}", answer, thing.colour, len(COLOURS)
    )


def shape(d: Draw) -> SceneQuestion:
    """The shape of a mark."""
    (thing,) = d.marks(1)
    n = thing.number
    text = d.pick(
        [
            f"What shape is mark {n}?",
            f"Which shape has mark {n}?",
            f"Tell me the shape of mark {n}.",
        ]
    )
    answer = f"Mark {n} is {article(thing.shape)}."
    return SceneQuestion(
        "shape", Question(text), f"{n} {thing.shape}", answer, thing.shape, len(SHAPES) + 1
    )


def what(d: Draw) -> SceneQuestion:
    """Colour and shape of a mark."""
    (thing,) = d.marks(1)
    n = thing.number
    text = d.pick([f"What is mark {n}?", f"What object is mark {n}?", f"Describe mark {n}."])
    answer = f"Mark {n} is {article(thing.name)}."
    pad = attributes_of(thing)
    return SceneQuestion(
        "what", Question(text), pad, answer, thing.name, len(COLOURS) * len(SHAPES)
    )


def attributes_of(thing: MarkedObject) -> str:
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

    def fits(self, thing: MarkedObject) -> bool:
        return self.colour in ("", thing.colour) and self.shape in ("", thing.shape)

    def judged(self, thing: MarkedObject) -> str:
        """Each asked attribute after the number, its verdict right behind it, until one fails."""
        said = []
        for sought, real in ((self.colour, thing.colour), (self.shape, thing.shape)):
            if sought:
                said.append(f"{thing.number} {real} {'yes' if real == sought else 'no'}")
                if real != sought:
                    break
        return "; ".join(said)


def _sought(d: Draw, present: bool) -> _Sought | None:
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


def _search(d: Draw, sought: _Sought) -> tuple[str, MarkedObject | None]:
    """Marks one after the other until the first that fits."""
    said = []
    for thing in d.things:
        said.append(sought.judged(thing))
        if sought.fits(thing):
            return "; ".join(said), thing
    return "; ".join(said), None


def which(d: Draw) -> SceneQuestion | None:
    """Which mark has a colour, a shape or both."""
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
    return SceneQuestion(
        "which", Question(text), pad, f"Mark {thing.number}.", str(thing.number), len(d.numbers)
    )


def exists(d: Draw) -> SceneQuestion | None:
    """Whether any mark has."""
    sought = _sought(d, present=bool(d.rng.random() < 0.5))
    if sought is None:
        return None
    pad, thing = _search(d, sought)
    words = article(sought.words)
    text = d.pick([f"Is there {words}?", f"Do you see {words}?", f"Is {words} in the scene?"])
    answer = f"Yes, mark {thing.number}." if thing else "No."
    return SceneQuestion("exists", yes_no(d, text), pad, answer, "yes" if thing else "no", 2)


def count(d: Draw) -> SceneQuestion | None:
    """How many marks have."""
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
    return SceneQuestion(
        "count", Question(text), "; ".join(said), f"There are {total}.", str(total), 9
    )


def describe(d: Draw) -> SceneQuestion:
    """What every mark is."""
    text = d.pick(["Describe the scene.", "What do you see?", "What is in the scene?"])
    answer = " ".join(f"Mark {t.number} is {article(t.name)}." for t in d.things)
    pad = "; ".join(map(attributes_of, d.things))
    key = "; ".join(f"{t.number} {t.name}" for t in d.things)
    return SceneQuestion("describe", Question(text), pad, answer, key, 0)
