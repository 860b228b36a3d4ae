"""The recipe: which stages, how long each, on which questions.

The tower is aligned with what pictures show while the language model, beside it, learns to look
values up and to read measured facts; the link starts its look at numbers; then answers are taught,
first with the tower at rest, then all together.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

from oryx_scene.lab.training.curriculum import Stage

TOWER = ("model.vision", "patch_heads", "token_heads", "thing_heads", "hint_heads")
LANGUAGE = ("model.language", "model.projector")
NO_PICTURES = (*TOWER, "model.compressor", "model.projector")
LOOKING = {"colour": 3.0, "what": 2.0, "describe": 3.0, "shape": 2.0}
ASKING = {
    "colour": 1.5,
    "shape": 2.0,
    "what": 1.0,
    "which": 1.5,
    "exists": 1.5,
    "count": 2.0,
    "left_right": 1.2,
    "front_behind": 1.2,
    "above_below": 0.8,
    "on": 0.4,
    "nearest": 1.2,
    "nearer": 1.2,
    "nearer_camera": 1.2,
    "distance": 0.5,
    "range": 0.4,
    "position": 0.5,
    "size": 0.2,
    "total": 0.3,
    "describe": 1.0,
    "needle": 1.0,
    "differs": 1.0,
    "changed": 1.0,
}

# What is learnt last: attributes that a search or a count must not mistake.
LAST = {
    "colour": 1.2,
    "shape": 3.0,
    "what": 2.0,
    "which": 2.2,
    "exists": 2.2,
    "count": 2.5,
    "describe": 1.2,
    "needle": 1.2,
    "differs": 1.2,
    "left_right": 0.4,
    "front_behind": 0.4,
    "above_below": 0.3,
    "changed": 0.3,
    "nearer_camera": 0.3,
    "nearest": 0.2,
    "nearer": 0.2,
    "on": 0.2,
    "distance": 0.15,
    "range": 0.15,
    "position": 0.15,
    "size": 0.15,
    "total": 0.1,
}


@dataclass(frozen=True)
class Recipe:
    """How much of everything.

    Attributes:
        scenes: in the pool.
        teacher: steps of the network that gives the tower hints.
        tower, shapes, drills, reading, look, answers, together, polish: steps of the stages.
        seed: of everything random.
        wider: times as many scenes and drill rows in every step as `stages` says.
    """

    scenes: int
    teacher: int
    tower: int
    shapes: int
    drills: int
    reading: int
    look: int
    answers: int
    together: int
    polish: int
    seed: int = 1
    wider: int = 1

    def planned(self) -> tuple[Stage, ...]:
        """The stages as they are run."""
        return tuple(
            dataclasses.replace(s, scenes=s.scenes * self.wider, drills=s.drills * self.wider)
            for s in self.stages()
        )

    def stages(self) -> tuple[Stage, ...]:
        """In their order; those of the tower know nothing of `drills` and `reading`."""
        return (*self._first(), *self._second())

    def _first(self) -> tuple[Stage, ...]:
        return (
            Stage(
                "tower",
                self.tower,
                rate=1.5e-3,
                answers=0.0,
                questions=0,
                strides=(2, 4),
                frozen=LANGUAGE,
                collages=0.75,
                hints=True,
                final=0.4,
            ),
            Stage(
                "shapes",
                self.shapes,
                rate=1.2e-3,
                answers=0.0,
                questions=0,
                frozen=LANGUAGE,
                collages=0.7,
                hints=True,
                shapes=3.0,
                final=0.02,
            ),
            Stage(
                "drills",
                self.drills,
                scenes=0,
                rate=1.5e-3,
                dense=0.0,
                frozen=NO_PICTURES,
                drills=192,
                final=0.6,
            ),
            Stage(
                "reading",
                self.reading,
                rate=1.2e-3,
                dense=0.0,
                questions=24,
                kinds=ASKING,
                frozen=NO_PICTURES,
                readings=1.0,
                drills=96,
                reserve=True,
                final=0.4,
            ),
            Stage(
                "look",
                self.look,
                rate=1e-3,
                dense=0.0,
                questions=12,
                kinds=LOOKING,
                strides=(2, 4),
                frozen=TOWER,
                drills=64,
                final=0.5,
            ),
            Stage(
                "answers",
                self.answers,
                rate=1.2e-3,
                dense=0.0,
                questions=24,
                kinds=ASKING,
                strides=(2, 4),
                frozen=TOWER,
                readings=0.25,
                drills=192,
                final=0.4,
            ),
        )

    def _second(self) -> tuple[Stage, ...]:
        return (
            Stage(
                "together",
                self.together,
                rate=8e-4,
                dense=0.5,
                questions=24,
                kinds=ASKING,
                readings=0.25,
                drills=96,
                hints=True,
                shapes=3.0,
                final=0.4,
            ),
            Stage(
                "polish",
                self.polish,
                rate=8e-4,
                dense=0.5,
                questions=24,
                kinds=LAST,
                readings=0.04,
                drills=32,
                hints=True,
                shapes=3.0,
                final=0.02,
            ),
        )


# "cpu" is meant for a few core-hours, "gpu" for twenty minutes of a large GPU and 16 cores; "tiny"
# shows in minutes that every part runs.
PRESETS = {
    "cpu": Recipe(15000, 2400, 1200, 4400, 600, 350, 40, 200, 550, 1050),
    "gpu": Recipe(14000, 900, 400, 800, 300, 250, 30, 200, 400, 200, wider=4),
    "tiny": Recipe(6, 1, 1, 1, 1, 1, 1, 2, 1, 1),
}
