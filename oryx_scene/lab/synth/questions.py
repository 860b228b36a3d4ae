"""Questions about a marked scene with exactly known answers, in several wordings, by their kind.

Knows text and geometry, no pixels and no model.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from oryx_scene.lab.synth import fact_questions as facts
from oryx_scene.lab.synth import picture_questions as pictures
from oryx_scene.lab.synth.marked_scene import MarkedScene
from oryx_scene.lab.synth.question_types import Draw, SceneQuestion
from oryx_scene.lab.synth.sequences import Posed, changed, differs, needle
from oryx_scene.records import Question


def _posed(
    kind: str, make: Callable[[MarkedScene, np.random.Generator], Posed | None]
) -> tuple[int, Callable[[Draw], SceneQuestion | None]]:
    """The maker of a question of `sequences`."""

    def maker(d: Draw) -> SceneQuestion | None:
        found = make(d.scene, d.rng)
        if found is None:
            return None
        return SceneQuestion(kind, Question(found.text), "", found.answer, found.key, found.options)

    return 1, maker


_MAKERS: dict[str, tuple[int, Callable[[Draw], SceneQuestion | None]]] = {
    # kind: (fewest marks, maker)
    "colour": (1, pictures.colour),
    "shape": (1, pictures.shape),
    "what": (1, pictures.what),
    "which": (2, pictures.which),
    "exists": (1, pictures.exists),
    "count": (1, pictures.count),
    "total": (1, facts.total),
    "left_right": (2, facts.side),
    "front_behind": (2, facts.front),
    "above_below": (2, facts.above),
    "on": (2, facts.on),
    "nearest": (3, facts.nearest),
    "nearer": (3, facts.nearer),
    "nearer_camera": (2, facts.nearer_camera),
    "distance": (2, facts.distance),
    "range": (1, facts.away),
    "position": (1, facts.position),
    "size": (1, facts.size),
    "describe": (1, pictures.describe),
    "needle": _posed("needle", needle),
    "differs": _posed("differs", differs),
    "changed": _posed("changed", changed),
}
KINDS = tuple(_MAKERS)
# Answered from what the pictures show, and from measured facts in the prompt.
PICTURE_KINDS = ("colour", "shape", "what", "which", "exists", "count", "describe", "needle")
FACT_KINDS = tuple(kind for kind in KINDS if kind not in PICTURE_KINDS)


def ask(
    scene: MarkedScene, kind: str, rng: np.random.Generator, tries: int = 8
) -> SceneQuestion | None:
    """One question of ``kind``; None where the scene has none that is no close call."""
    fewest, maker = _MAKERS[kind]
    numbers = tuple(sorted(scene.things))
    if len(numbers) < fewest:
        return None
    draw = Draw(scene, rng, numbers)
    for _ in range(tries):
        found = maker(draw)
        if found is not None:
            return found
    return None
