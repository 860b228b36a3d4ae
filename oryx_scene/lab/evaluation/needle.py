"""Needles in long sequences: is a single frame among many read, and the difference of two frames?

After the temporal needle of the Oryx paper (arXiv 2409.12961): frames of a haystack are replaced by
pictures of known things; one question asks what a frame shows, by its number, one what differs
between two frames. Beside them stands another picture of its kind, so that finding any odd frame is
not enough. No measured facts are given: all that answers is in the pictures.
"""

from __future__ import annotations

import dataclasses
import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from oryx_scene.config import BudgetConfig, MarksConfig, PipelineConfig, ViewsConfig
from oryx_scene.errors import BudgetError, ConfigError
from oryx_scene.lab.synth.changes import without
from oryx_scene.lab.synth.render import CameraPose, render_views
from oryx_scene.lab.synth.rigs import RigConfig, look_at, pinhole
from oryx_scene.lab.synth.true_marks import objects_under, true_marks
from oryx_scene.lab.synth.truth import ObjectTruth
from oryx_scene.lab.synth.words import COLOURS, SHAPES
from oryx_scene.lab.synth.world import World, WorldConfig, make_world
from oryx_scene.model.api import Answerer, Limits
from oryx_scene.qa.parse import split_scratchpad
from oryx_scene.qa.pipeline import ScenePipeline
from oryx_scene.records import Frame, MarkSet, Question, ViewSet
from oryx_scene.scene.frame_selection import SEQUENCE_PIXELS, within_area
from oryx_scene.sources.base import FrameSource

TASKS = ("caption", "difference")
LENGTHS = (16, 64, 256, 1024, 1600)
DEPTHS = tuple(round(0.1 * step, 1) for step in range(11))
# The needle, the picture beside it, and the two things of the pair of frames.
CAPTION, OTHER, BOTH, ONE = 1, 2, 3, 4
_FIRST_SEED = 90_000
_MOST_TOKENS = 48
_MOST_APART_M = 1.2


@dataclass(frozen=True)
class NeedleScene:
    """A sequence with needles in it.

    Attributes:
        frames: as the model sees them; true ids in the frames of needles, zeros elsewhere.
        things: id -> what it is.
        caption: index of the frame that is asked about.
        pair: indices of the two frames that differ; the second alone shows the thing ``ONE``.
    """

    frames: tuple[Frame, ...]
    things: dict[int, ObjectTruth]
    caption: int
    pair: tuple[int, int]

    def questions(self) -> dict[str, Question]:
        """By task; frames are counted from 1."""
        first, second = sorted(self.pair)
        return {
            "caption": Question(f"What was in frame {self.caption + 1}?"),
            "difference": Question(f"What differs between frames {first + 1} and {second + 1}?"),
        }


def haystack(
    source: FrameSource, count: int, progress: Callable[[], object] | None = None
) -> list[Frame]:
    """Frames of one camera, evenly over a recording, small enough to be kept together.

    Raises:
        ConfigError: it has no frame.
    """
    cameras = source.cameras
    stubs = [stub for stub in source.stubs() if stub.camera == cameras[0]] if cameras else []
    if not stubs:
        raise ConfigError("the recording has no frame.", hint="see `oryx-scene check`")
    chosen = _evenly(len(stubs), min(count, len(stubs)))
    frames = []
    for index in chosen:
        frame = within_area(source.load(stubs[index]), SEQUENCE_PIXELS // len(chosen))
        # Only pictures are judged here; a needle has no place in a foreign map.
        frames.append(
            dataclasses.replace(
                frame,
                depth=None,
                intrinsics=None,
                T_fixed_camera=None,
                fixed_frame="",
                labels=np.zeros(frame.rgb.shape[:2], np.int32),
                warnings=(),
            )
        )
        if progress is not None:
            progress()
    return frames


def _evenly(total: int, count: int) -> list[int]:
    found: list[int] = np.linspace(0, total - 1, count).round().astype(int).tolist()
    return found


def hide_needles(frames: Sequence[Frame], depth: float, seed: int) -> NeedleScene:
    """Replace four of ``frames`` by pictures of known things.

    Args:
        frames: at least 8, of one size, in the order of time.
        depth: 0..1, where the frame of the caption and the first of the pair stand.
        seed: of the things and of where the other frames stand.
    """
    rng = np.random.default_rng([seed, 51])
    count = len(frames)
    caption = round(depth * (count - 1))
    near = caption + 1 if caption + 1 < count else caption - 1
    free = [i for i in range(count) if i not in (caption, near)]
    far, other = (int(i) for i in rng.permutation(free)[:2])
    worlds, pictures = _needles(seed, frames[0].rgb.shape[:2])
    shown = dict(zip((caption, other, near, far), pictures, strict=True))
    placed = [
        dataclasses.replace(frame, rgb=shown[i].rgb, sha256=shown[i].sha256, labels=shown[i].labels)
        if i in shown
        else frame
        for i, frame in enumerate(frames)
    ]
    things = {thing.object_id: thing for world in worlds for thing in world.objects}
    return NeedleScene(tuple(placed), things, caption, (near, far))


def _needles(seed: int, size: tuple[int, ...]) -> tuple[list[World], list[Frame]]:
    """Worlds with ids of their own, and pictures: caption, the other, and the pair.

    The first of the pair lacks its second thing.
    """
    caption, other, pair = _worlds(seed)
    bare = _renumbered(without(pair, 2), BOTH)
    worlds = [
        _renumbered(world, first)
        for world, first in ((caption, CAPTION), (other, OTHER), (pair, BOTH))
    ]
    poses = [_close_up(world, (size[0], size[1])) for world in worlds]
    seen = [*zip(worlds[:2], poses[:2], strict=True), (bare, poses[2]), (worlds[2], poses[2])]
    return worlds, [render_views(world, [pose])[0] for world, pose in seen]


def _worlds(seed: int) -> list[World]:
    """Rooms with one, one and two things near each other, all four of different names."""
    for turn in range(1000):
        start = _FIRST_SEED + 3 * (1000 * seed + turn)
        worlds = [
            make_world(start + i, WorldConfig("test", (n, n), table=0.0, stacked=0.0))
            for i, n in enumerate((1, 1, 2))
        ]
        things = [thing for world in worlds for thing in world.objects]
        names = {(thing.colour, thing.shape) for thing in things}
        apart = np.linalg.norm(np.subtract(things[-1].position, things[-2].position))
        if len(names) == len(things) == 4 and apart < _MOST_APART_M:
            return worlds
    raise AssertionError("a thousand draws without four names")


def _renumbered(world: World, first: int) -> World:
    """The same world with ids from ``first`` on."""
    move = first - 1
    return dataclasses.replace(
        world,
        objects=tuple(dataclasses.replace(t, object_id=t.object_id + move) for t in world.objects),
        solids=tuple(dataclasses.replace(s, object_id=s.object_id + move) for s in world.solids),
    )


def _close_up(world: World, size: tuple[int, int]) -> CameraPose:
    """From near enough that its things fill a good part of the picture."""
    places = np.array([thing.position for thing in world.objects])
    middle = places.mean(axis=0)
    reach = max(float(np.linalg.norm(t.extent)) / 2 for t in world.objects)
    reach += float(np.linalg.norm(places - middle, axis=1).max())
    # Across the line of two things, so that neither hides the other.
    line = places[-1] - places[0]
    across = np.array([-line[1], line[0]]) if line.any() else np.array([1.0, 0.0])
    across /= math.copysign(float(np.linalg.norm(across)), -float(across @ middle[:2]))
    eye = middle + 2.0 * reach * np.array([*across, 0.5])
    eye = np.clip(eye, world.room.low + 0.15, world.room.high - 0.15)
    intrinsics = pinhole(
        RigConfig(height=size[0], width=size[1]), 0.8 * min(1.0, size[0] / size[1])
    )
    return CameraPose("needle", 1, intrinsics, look_at(eye, middle))


def judge(task: str, raw: str, scene: NeedleScene, numbers: dict[int, int]) -> bool:
    """Whether a text is right.

    Args:
        task: of :data:`TASKS`.
        raw: as generated.
        scene: that was asked about.
        numbers: mark number -> id; empty without marks.
    """
    text = split_scratchpad(raw)[0].lower()
    wanted = scene.things[CAPTION if task == "caption" else ONE]
    named = _words(text, COLOURS) == {wanted.colour} and _words(text, SHAPES) == {wanted.shape}
    if task == "caption":
        return named
    marks = {int(n) for n in re.findall(r"\bmark (\d+)", text)}
    by_number = bool(marks) and {numbers.get(n, 0) for n in marks} == {ONE}
    frames = {int(n) for n in re.findall(r"\b(?:frame|view|picture) (\d+)", text)}
    where = not frames or scene.pair[1] + 1 in frames
    return (named or by_number) and where


def _words(text: str, known: Sequence[str] | dict[str, Any]) -> set[str]:
    return {word for word in known if re.search(rf"\b{word}(?:s|es)?\b", text)}


@dataclass(frozen=True)
class Cell:
    """One length, depth and task.

    Attributes:
        frames, depth, task: which.
        right, asked: counts; both 0 where the frames do not fit the model.
        visual_tokens: of the sequence.
        note: why nothing was asked.
        said: the last answer, for people.
    """

    frames: int
    depth: float
    task: str
    right: int = 0
    asked: int = 0
    visual_tokens: int = 0
    note: str = ""
    said: str = ""


def measure(
    answerer: Answerer,
    frames: Sequence[Frame],
    depth: float,
    *,
    trials: int,
    compression: str,
    marks: bool,
) -> list[Cell]:
    """Hide needles at ``depth``, ask both questions and count; one cell per task."""
    count = len(frames)
    right = dict.fromkeys(TASKS, 0)
    said = dict.fromkeys(TASKS, "")
    tokens = 0
    for trial in range(trials):
        scene = hide_needles(frames, depth, trial)
        pipeline = ScenePipeline(
            answerer, _config(answerer, count, compression, marks), _marks(scene)
        )
        try:
            frozen = pipeline.freeze(scene.frames, scene.frames[-1].stamp_ns, synthetic=True)
        except BudgetError as err:
            return [Cell(count, depth, task, note=err.message) for task in TASKS]
        tokens = frozen.plan.visual_tokens
        numbers = objects_under(frozen.views, frozen.marks)
        asked = scene.questions()
        limits = Limits(max_new_tokens=_MOST_TOKENS)
        answers = pipeline.ask_many(frozen, list(asked.values()), limits)
        for task, answer in zip(asked, answers, strict=True):
            right[task] += judge(task, answer.text, scene, numbers)
            said[task] = answer.text
    return [
        Cell(count, depth, task, right[task], trials, tokens, said=said[task]) for task in TASKS
    ]


def _config(answerer: Answerer, count: int, compression: str, marks: bool) -> PipelineConfig:
    return PipelineConfig(
        ViewsConfig(count=count),
        # All that the model's context holds; text and answer are taken off it.
        BudgetConfig(compression=compression, max_visual_tokens=answerer.card.context_length),
        MarksConfig(enabled=marks, facts="none"),
    )


def _marks(scene: NeedleScene) -> Callable[[ViewSet, MarksConfig, str], MarkSet]:
    def find(views: ViewSet, config: MarksConfig, question: str) -> MarkSet:
        # Things of different rooms stand in no relation.
        return dataclasses.replace(true_marks(views, scene.things, config), relations=())

    return find


def shortened(frames: Sequence[Frame], count: int) -> list[Frame]:
    """``count`` of the frames, evenly."""
    return [frames[index] for index in _evenly(len(frames), count)]


def report_of(cells: Sequence[Cell]) -> dict[str, Any]:
    """Cells and the mean of each task and length, for JSON."""
    means: dict[str, dict[str, float | None]] = {task: {} for task in TASKS}
    for task in TASKS:
        for count in dict.fromkeys(cell.frames for cell in cells):
            own = [c for c in cells if (c.frames, c.task) == (count, task)]
            asked = sum(c.asked for c in own)
            means[task][str(count)] = sum(c.right for c in own) / asked if asked else None
    return {"cells": [dataclasses.asdict(cell) for cell in cells], "means": means}
