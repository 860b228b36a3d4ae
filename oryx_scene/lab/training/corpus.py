"""Everything that questions, facts and answers are made of: what the vocabulary is built from."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from oryx_scene.lab.synth.marked_scene import measured_scene
from oryx_scene.lab.synth.question_types import SceneQuestion
from oryx_scene.lab.synth.questions import KINDS, ask
from oryx_scene.lab.synth.rigs import camera_names
from oryx_scene.lab.synth.words import COLOURS, FURNITURE, SHAPES
from oryx_scene.lab.training.dataset import pool_files
from oryx_scene.lab.training.examples import prompt_text
from oryx_scene.lab.training.samples import Sample, load_sample


def texts_of(pool: Path) -> list[str]:
    """Texts with every word that lessons on the scenes of ``pool`` hold."""
    texts = [
        "system\nYou are a helpful assistant.\nuser\nassistant\nAnswer yes or no. Yes No yes no",
        "Answer with mark numbers only.\nAnswer with one of: red; blue.\nOne view: front.",
        " camera view views picture scene room robot here there object objects thing things",
    ]
    for count in (1, 2, 3, 4, 5, 6, 8):
        texts += [f"{name} {name}" for name in camera_names(count)]
    for word in (*COLOURS, *SHAPES, FURNITURE, "wall", "grey"):
        texts.append(f"{word} {word} {word}s {word}es {word.capitalize()}")
    for sample, asked in _lessons(pool):
        texts += [frame.camera + " " + frame.camera for frame in sample.views.frames]
        texts += [prompt_text(sample, asked.question), asked.target]
    marks = " views of one scene: , The same number on a red disc is the same object in every view."
    return [*texts, marks, " Marks: ,"]


def questions_of(pool: Path) -> list[str]:
    """Questions in the wordings of lessons on the scenes of ``pool``, without names of views."""
    found = []
    for sample, asked in _lessons(pool):
        text = asked.question.text
        for frame in sample.views.frames:
            text = text.replace(frame.camera, "")
        found.append(text)
    return found


def _lessons(pool: Path) -> Iterator[tuple[Sample, SceneQuestion]]:
    """One question of each kind about some of the pool's scenes."""
    rng = np.random.default_rng(0)
    for path in pool_files(pool)[:250]:
        sample = load_sample(path)
        scene = measured_scene(sample.marks, sample.objects, sample.truth, sample.views)
        for kind in KINDS:
            asked = ask(scene, kind, rng)
            if asked is not None:
                yield sample, asked
