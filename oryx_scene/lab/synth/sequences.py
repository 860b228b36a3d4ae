"""Questions about views and time: what a view showed, what differs between two, what changed.

Membership is measured and stands in the facts; what the marks are is read off the pictures. A mark
is in a view where its number is drawn. Most questions whose answer is "none" are not asked.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from oryx_scene.lab.synth.marked_scene import MarkedScene
from oryx_scene.lab.synth.words import COLOURS, SHAPES
from oryx_scene.qa.question_words import named_views

NONE = "none"
# Views with nothing in common with the marks are many and teach little.
KEPT_NONE = 0.3


@dataclass(frozen=True)
class Posed:
    """A question and its answer; the key is the answer without its dressing.

    Attributes:
        text: as asked.
        answer: the text.
        key: what a judge compares.
        options: how many keys a guess could take.
    """

    text: str
    answer: str
    key: str
    options: int


def needle(scene: MarkedScene, rng: np.random.Generator) -> Posed | None:
    """What was in one view: its marks, their colours and shapes."""
    count = len(scene.views.frames)
    if count < 2:
        return None
    view = _called(scene, rng, int(rng.integers(count)))
    text = _pick(
        rng, [f"What was in {view}?", f"Which marks are in {view}?", f"What do you see in {view}?"]
    )
    index = named_views(text, scene.names)[0].index
    seen = [thing for n, thing in sorted(scene.things.items()) if index in scene.seen_in[n]]
    if not seen and rng.random() > KEPT_NONE:
        return None
    answer = _listed(f"{t.number} {t.colour}; {t.number} {t.shape}" for t in seen)
    key = "; ".join(f"{thing.number} {thing.name}" for thing in seen) or NONE
    guesses = 2 ** len(scene.things) * (len(COLOURS) * len(SHAPES)) ** len(seen)
    return Posed(text, answer, key, guesses)


def differs(scene: MarkedScene, rng: np.random.Generator) -> Posed | None:
    """Which marks only one of two views shows."""
    count = len(scene.views.frames)
    if count < 2:
        return None
    text = _pick(rng, _pairs(scene, rng, *map(int, rng.permutation(count)[:2])))
    views = {one.index: one.name for one in named_views(text, scene.names)}
    told = []
    for number in sorted(scene.things):
        names = [name for i, name in views.items() if i in scene.seen_in[number]]
        if len(names) == 1:
            told.append(f"{number} only in {names[0]}")
    if not told and rng.random() > KEPT_NONE:
        return None
    return Posed(text, _listed(told), "; ".join(told) or NONE, 3 ** len(scene.things))


def _pairs(scene: MarkedScene, rng: np.random.Generator, first: int, second: int) -> list[str]:
    word = _pick(rng, ["frames", "views"])
    two = f"{word} {first + 1} and {second + 1}"
    if rng.random() < 0.3:
        names = scene.names
        two = f"{_named(names[first])} and {_named(names[second])}"
    return [
        f"What differs between {two}?",
        f"What is the difference between {two}?",
        f"Which marks are only in one of {two}?",
    ]


def changed(scene: MarkedScene, rng: np.random.Generator) -> Posed | None:
    """Which marks came or went between the views."""
    if scene.changes is None:
        return None
    known = dict.fromkeys(scene.changes.gone, "gone") | dict.fromkeys(scene.changes.new, "new")
    told = [f"{number} {known[number]}" for number in sorted(known) if number in scene.things]
    text = _pick(
        rng, ["What changed?", "What has changed in the scene?", "Which marks are new or gone?"]
    )
    return Posed(text, _listed(told), "; ".join(told) or NONE, 3 ** len(scene.things))


def _called(scene: MarkedScene, rng: np.random.Generator, index: int) -> str:
    """One view by its place in the order or by its name."""
    name = _named(scene.names[index])
    return _pick(rng, [f"frame {index + 1}", f"view {index + 1}", name])


def _named(name: str) -> str:
    # "left" alone is a direction.
    return name if name[-1].isdigit() or "_" in name else f"view {name}"


def _listed(told: Iterable[str]) -> str:
    listed = "; mark ".join(told)
    return f"Mark {listed}." if listed else "None."


def _pick(rng: np.random.Generator, options: list[str]) -> str:
    return options[int(rng.integers(len(options)))]
