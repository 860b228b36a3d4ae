"""What a stage teaches: lessons and drills that follow from seed, step and index alone.

So a resumed run sees the lessons that an uninterrupted one would have seen, and any process can
make any lesson of a step.
"""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass, field
from pathlib import Path

import numpy as np

from oryx_scene.lab.training.batch import LessonTensors, ready
from oryx_scene.lab.training.collage import make_collages
from oryx_scene.lab.training.drills import Drill, make_drill
from oryx_scene.lab.training.examples import Lesson, make_lesson, make_sight
from oryx_scene.lab.training.samples import Sample, load_sample
from oryx_scene.model.checkpoint.tokenizer import TextTokenizer


@dataclass(frozen=True)
class Stage:
    """One stretch of training.

    Attributes:
        name: of the stage.
        steps: optimiser steps.
        scenes: per step; 0 leaves drills only.
        rate: highest learning rate; cosine down to ``final`` of it, after a short warm-up.
        dense, answers: weights of the losses.
        questions: per scene.
        kinds: weight of each type of question.
        strides: compressions that take part.
        frozen: prefixes of parameter names that stay as they are.
        readings: share of lessons without pictures; what only those show is given then.
        drills: rows of comparisons that go with every step.
        collages: share of scenes in whose place the tower sees collages of their things.
        hints: the tower also looks for what the convolutional teacher sees.
        shapes: weight of shapes against colours and digits; high from the start, it drowns what
            leads to shapes (`instance_heads.py`).
        reserve: keep the head silent that `link_numbers` will set.
        warmup, final: steps of rising rate, and the share of the rate that is left at the end.
    """

    name: str
    steps: int
    _: KW_ONLY
    scenes: int = 8
    rate: float = 1e-3
    dense: float = 1.0
    answers: float = 1.0
    questions: int = 12
    kinds: dict[str, float] = field(default_factory=dict)
    strides: tuple[int, ...] = (1, 2, 4)
    frozen: tuple[str, ...] = ()
    readings: float = 0.0
    drills: int = 0
    collages: float = 0.0
    hints: bool = False
    shapes: float = 1.0
    reserve: bool = False
    warmup: int = 20
    final: float = 0.1


@dataclass(frozen=True, eq=False)
class Course:
    """The lessons and drills of one stage.

    Attributes:
        stage: what is taught.
        files: training scenes, by seed.
        tokenizer: of the checkpoint.
        seed: of everything random.
        wide: few large passes instead of many small ones, as a GPU likes them.
    """

    stage: Stage
    files: tuple[Path, ...]
    tokenizer: TextTokenizer
    seed: int
    wide: bool = False

    def lessons(self, step: int, index: int) -> list[Lesson]:
        """What is learnt in place of scene ``index`` (0..scenes-1) of one step."""
        rng = np.random.default_rng([self.seed, step, index])
        sample = self._fitting(rng)
        if rng.random() < self.stage.collages:
            # In place of one scene: collages of it and others, about as many patches.
            others = (self._any(rng), self._any(rng))
            return [make_sight(made) for made in make_collages((sample, *others), rng, most=3)]
        kinds, questions = self.stage.kinds, self.stage.questions
        unseen = rng.random() < self.stage.readings
        return [make_lesson(sample, self.tokenizer, kinds, questions, rng, not unseen)]

    def ready(self, step: int, index: int) -> list[LessonTensors]:
        """The same as tensors."""
        sights = self.stage.dense > 0
        return [ready(one, 1 if self.wide else 3, sights) for one in self.lessons(step, index)]

    def _any(self, rng: np.random.Generator) -> Sample:
        return load_sample(self.files[int(rng.integers(len(self.files)))])

    def _fitting(self, rng: np.random.Generator) -> Sample:
        while True:
            sample = self._any(rng)
            if int(sample.stride) in self.stage.strides:
                return sample

    def drill(self, step: int) -> Drill:
        """The comparisons and searches of one step."""
        rng = np.random.default_rng([29, self.seed, step])
        return make_drill(self.tokenizer, rng, self.stage.drills)
