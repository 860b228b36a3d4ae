"""What a question about a marked scene is, and the words that all of them share."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from oryx_scene.lab.synth.marked_scene import MarkedObject, MarkedScene
from oryx_scene.records import Question


@dataclass(frozen=True)
class SceneQuestion:
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
class Draw:
    """One scene and the random numbers to ask about it."""

    scene: MarkedScene
    rng: np.random.Generator
    numbers: tuple[int, ...] = field(default=())

    def pick(self, options: Sequence[str]) -> str:
        """One of ``options``, drawn."""
        return options[int(self.rng.integers(len(options)))]

    def marks(self, count: int) -> list[MarkedObject]:
        """``count`` different marks, drawn; fewer where there are not so many."""
        found = self.rng.permutation(self.numbers)[:count]
        return [self.scene.things[int(number)] for number in found]

    def view(self) -> str:
        """A view, drawn, as the prompt calls it."""
        return self.pick(self.scene.names)

    @property
    def things(self) -> list[MarkedObject]:
        """All marks by number."""
        return [self.scene.things[number] for number in self.numbers]


def metres(value: float) -> str:
    """As the facts state it; a rounded -0.0 would read as a direction."""
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
    listed = f"{measure} {a} {metres(values[0])}; {b} {metres(values[1])}"
    if measure == "away":
        return f"{listed}; {a if less else b}"
    real = OPPOSITES[measure][0 if less else 1]
    return f"{listed}; {real}; {asked} {'yes' if asked == real else 'no'}"


def article(word: str) -> str:
    """``word`` behind "a" or "an"."""
    return f"an {word}" if word[0] in "aeiou" else f"a {word}"


def yes_no(d: Draw, text: str) -> Question:
    """A question that a third of the time asks for one word."""
    return Question(text, "yes_no" if d.rng.random() < 0.3 else "text")
