"""From a kept scene to what one training step sees: marks numbered anew, drawn, asked about.

The prompt is built by the pipeline's own functions, so that the model is taught exactly what it
will be asked.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from oryx_scene.lab.synth.marked_scene import measured_scene
from oryx_scene.lab.synth.question_types import SceneQuestion
from oryx_scene.lab.synth.questions import ask
from oryx_scene.lab.synth.words import COLOURS, FURNITURE, SHAPES
from oryx_scene.lab.training.augmentation import rename_cameras
from oryx_scene.lab.training.samples import LEARNT, Sample
from oryx_scene.marks.drawing import draw_marks
from oryx_scene.model.api import Stride
from oryx_scene.model.checkpoint.tokenizer import IM_END, TextTokenizer, closing_ids, opening_ids
from oryx_scene.qa.facts import fitting_facts
from oryx_scene.qa.formats import SYSTEM_TEXT, question_text
from oryx_scene.qa.parse import THINK_CLOSE
from oryx_scene.records import Changes, MarkSet, Question, RgbImage
from oryx_scene.scene.measurements import Measurements
from oryx_scene.scene.prompt_text import marks_text, views_text

# Share of lessons whose cameras have other names than the trained rigs.
RENAMED = 0.5


@dataclass(frozen=True, eq=False)
class Turn:
    """One question: prompt ids from the question on, and the ids to be learnt.

    Attributes:
        given: positions in ``target`` that only a picture tells and that are not asked for.
    """

    asked: SceneQuestion
    prompt: list[int]
    target: list[int]
    given: frozenset[int] = frozenset()


@dataclass(frozen=True, eq=False)
class Lesson:
    """One scene and its questions.

    Attributes:
        sample: with marks numbered as in this lesson.
        pictures: marks drawn.
        scene_ids: `PLACEHOLDER` per image slot.
        turns: questions.
    """

    sample: Sample
    pictures: tuple[RgbImage, ...]
    scene_ids: list[int]
    turns: list[Turn]


def renumber(sample: Sample, rng: np.random.Generator) -> Sample:
    """The same scene with the numbers of its marks exchanged at random."""
    numbers = [mark.number for mark in sample.marks.marks]
    new = dict(zip(numbers, map(int, rng.permutation(numbers)), strict=True))
    marks = sorted(
        (dataclasses.replace(mark, number=new[mark.number]) for mark in sample.marks.marks),
        key=lambda mark: mark.number,
    )
    on = tuple(
        dataclasses.replace(r, subject=new[r.subject], object=new.get(r.object or 0))
        for r in sample.marks.relations
        if r.subject in new and (r.object or 0) in new
    )
    discs = tuple(
        tuple(dataclasses.replace(d, number=new[d.number]) for d in view) for view in sample.discs
    )
    return dataclasses.replace(
        sample,
        marks=MarkSet(tuple(marks), on, changes=_renumbered(sample.marks.changes, new)),
        discs=discs,
        objects={new[number]: thing for number, thing in sample.objects.items() if number in new},
    )


def _renumbered(changes: Changes | None, new: Mapping[int, int]) -> Changes | None:
    if changes is None:
        return None
    gone, come = (tuple(sorted(new[n] for n in side)) for side in (changes.gone, changes.new))
    return Changes(gone, come)


def scene_ids(sample: Sample, tokenizer: TextTokenizer) -> list[int]:
    """Ids of the scene part of the prompt."""
    slots = len(sample.pictures) if sample.stride is Stride.IMAGE else min(1, len(sample.pictures))
    user: list[str | None] = [piece for _ in range(slots) for piece in (None, "\n")]
    cameras = [frame.camera for frame in sample.views.frames]
    lines = [views_text(cameras), marks_text(sample.marks.marks)]
    user.append("".join(f"{line}\n" for line in lines if line))
    return opening_ids(tokenizer, SYSTEM_TEXT, user)


def prompt_text(sample: Sample, question: Question) -> str:
    """The question with its facts, as the pipeline writes it."""
    measured = Measurements(sample.views, sample.marks)
    facts = fitting_facts(question.text, measured, "fit", LEARNT.fact_order)
    return question_text(question, facts)


def make_turns(
    sample: Sample,
    tokenizer: TextTokenizer,
    kinds: Mapping[str, float],
    count: int,
    rng: np.random.Generator,
    seen: bool = True,
) -> list[Turn]:
    """Up to ``count`` questions; ``kinds`` are drawn by weight, none where all weigh nothing."""
    scene = measured_scene(sample.marks, sample.objects, sample.truth, sample.views)
    names = list(kinds)
    weights = np.array([kinds[name] for name in names], dtype=np.float64)
    turns: list[Turn] = []
    if not weights.sum():
        return turns
    for index in rng.choice(len(names), size=count, p=weights / weights.sum()):
        asked = ask(scene, names[int(index)], rng)
        if asked is None:
            continue
        turn = make_turn(sample, asked, tokenizer)
        turns.append(turn if seen else without_sight(turn, tokenizer))
    return turns


def make_turn(sample: Sample, asked: SceneQuestion, tokenizer: TextTokenizer) -> Turn:
    """Ids of one question and its answer."""
    prompt = closing_ids(tokenizer, prompt_text(sample, asked.question))
    target = [*tokenizer.encode_plain(asked.target), tokenizer.special_id(IM_END)]
    return Turn(asked, prompt, target)


def without_sight(turn: Turn, tokenizer: TextTokenizer) -> Turn:
    """The same question where no picture is shown: colours and shapes are given, not asked for.

    Raises:
        ValueError: the tokenizer has no single token that ends a scratchpad.
    """
    shown = {
        i for word in (*COLOURS, *SHAPES, FURNITURE) for i in tokenizer.encode_plain(f" {word}")
    }
    # Behind the scratchpad they are copied from it.
    (close,) = tokenizer.encode_plain(THINK_CLOSE)
    worked = turn.target.index(close) if close in turn.target else len(turn.target)
    given = frozenset(i for i, token in enumerate(turn.target[:worked]) if token in shown)
    return dataclasses.replace(turn, given=given)


def make_lesson(
    sample: Sample,
    tokenizer: TextTokenizer,
    kinds: Mapping[str, float],
    count: int,
    rng: np.random.Generator,
    pictures: bool = True,
) -> Lesson:
    """One scene as it is learnt from once; without ``pictures``, only its words."""
    own = renumber(sample, rng)
    if rng.random() < RENAMED:
        own = rename_cameras(own, rng)
    if not pictures:
        own = dataclasses.replace(own, pictures=np.zeros((0, 0, 0, 3), np.uint8))
        turns = make_turns(own, tokenizer, kinds, count, rng, seen=False)
        return Lesson(own, (), scene_ids(own, tokenizer), turns)
    drawn = tuple(
        draw_marks(picture, discs) for picture, discs in zip(own.pictures, own.discs, strict=True)
    )
    turns = make_turns(own, tokenizer, kinds, count, rng)
    return Lesson(own, drawn, scene_ids(own, tokenizer), turns)


def make_sight(sample: Sample) -> Lesson:
    """Pictures with their marks drawn and nothing asked: what the tower alone learns from."""
    drawn = tuple(
        draw_marks(picture, discs)
        for picture, discs in zip(sample.pictures, sample.discs, strict=True)
    )
    return Lesson(sample, drawn, [], [])
