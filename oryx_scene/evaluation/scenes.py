"""How right answers are, on unseen synthetic scenes, through the whole pipeline with own marks.

Questions are about the marks that the project's own finder gave; keys come from the truth. Counts
and existence are judged by every object that a view shows well enough, whether it got a mark or
not. Close calls are not asked (`synth.questions`).
"""

from __future__ import annotations

import dataclasses
import math
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

from oryx_scene.answerer import Limits
from oryx_scene.config import PipelineConfig
from oryx_scene.frames import Frame
from oryx_scene.marks.config import MarksConfig
from oryx_scene.pipeline import ScenePipeline
from oryx_scene.synth.judge import METRES, error_m, right, said
from oryx_scene.synth.questions import KINDS, Asked, ask
from oryx_scene.synth.scenes import SceneSpec, pipeline_config, render_spec
from oryx_scene.synth.things import MarkedScene, Thing, true_scene
from oryx_scene.synth.true_marks import objects_under
from oryx_scene.synth.world import World

# Judged by all visible objects, marked or not.
OVER_ALL = ("exists", "count", "total")
MOST_TOKENS = 96


@dataclass(frozen=True)
class Condition:
    """What is changed against the plain run.

    Attributes:
        name: of the condition.
        pictures: False shows grey instead.
        marks: False finds and draws none; the questions stay the same.
        facts: "fit" or "none".
    """

    name: str = "plain"
    pictures: bool = True
    marks: bool = True
    facts: str = "fit"

    def config(self, spec: SceneSpec) -> PipelineConfig:
        """Settings of the pipeline under this condition."""
        plain = pipeline_config(spec)
        marks = dataclasses.replace(plain.marks, enabled=self.marks, facts=self.facts)
        return dataclasses.replace(plain, marks=marks, pictures=self.pictures)


@dataclass(eq=False)
class KindScore:
    """Answers of one type of question."""

    right: int = 0
    asked: int = 0
    chance: float = 0.0
    keys: Counter[str] = field(default_factory=Counter)
    errors_m: list[float] = field(default_factory=list)

    @property
    def accuracy(self) -> float:
        """Share of right answers."""
        return self.right / self.asked if self.asked else float("nan")

    @property
    def majority(self) -> float:
        """Share that the most frequent key would get."""
        return max(self.keys.values()) / self.asked if self.keys else float("nan")

    def interval(self) -> tuple[float, float]:
        """95 % confidence interval of the accuracy (Wilson 1927)."""
        return wilson(self.right, self.asked)


def wilson(right: int, asked: int, z: float = 1.96) -> tuple[float, float]:
    """Confidence interval of a share."""
    if not asked:
        return 0.0, 1.0
    share = right / asked
    middle = (share + z * z / (2 * asked)) / (1 + z * z / asked)
    spread = share * (1 - share) / asked + z * z / (4 * asked * asked)
    half = z * math.sqrt(spread) / (1 + z * z / asked)
    return middle - half, middle + half


def questions_of(
    frames: Sequence[Frame], world: World, pipeline: ScenePipeline, kinds: Sequence[str], seed: int
) -> list[Asked]:
    """One question of each kind about the marks that ``pipeline`` finds in ``frames``."""
    scene = pipeline.freeze(frames, max(f.stamp_ns for f in frames), synthetic=True)
    objects = objects_under(scene.views, scene.marks)
    marked = true_scene(scene.marks, objects, world.truth, scene.views)
    everything = _with_unmarked(marked, scene.views.frames, world, set(objects.values()))
    rng = np.random.default_rng([23, seed])
    found = [ask(everything if kind in OVER_ALL else marked, kind, rng) for kind in kinds]
    # The form "yes_no" is scored without a scratchpad; what is judged here runs freely.
    return [
        dataclasses.replace(asked, question=dataclasses.replace(asked.question, format="text"))
        for asked in found
        if asked is not None
    ]


def _with_unmarked(
    marked: MarkedScene, frames: Sequence[Frame], world: World, known: set[int]
) -> MarkedScene:
    least = MarksConfig().min_area_share
    things = dict(marked.things)
    for thing in world.objects:
        shares = [
            float((f.labels == thing.object_id).mean()) for f in frames if f.labels is not None
        ]
        if thing.object_id not in known and max(shares, default=0.0) >= least:
            number = 100 + thing.object_id
            things[number] = Thing(number, thing.colour, thing.shape, thing.position, thing.extent)
    return dataclasses.replace(marked, things=things)


def evaluate(
    pipeline: ScenePipeline,
    specs: Sequence[SceneSpec],
    conditions: Sequence[Condition] = (Condition(),),
    kinds: Sequence[str] = KINDS,
    said_to: Callable[[str], None] | None = None,
) -> dict[str, dict[str, KindScore]]:
    """Condition -> kind -> score. All conditions are asked the same questions."""
    scores: dict[str, dict[str, KindScore]] = {item.name: {} for item in conditions}
    for count, spec in enumerate(specs, 1):
        world, frames = render_spec(spec)
        plain = ScenePipeline(pipeline.answerer, pipeline_config(spec))
        asked = questions_of(frames, world, plain, kinds, spec.seed)
        for condition in conditions:
            own = ScenePipeline(pipeline.answerer, condition.config(spec))
            scene = own.freeze(frames, max(f.stamp_ns for f in frames), synthetic=True)
            answers = own.ask_many(
                scene, [item.question for item in asked], Limits(max_new_tokens=MOST_TOKENS)
            )
            for item, answer in zip(asked, answers, strict=True):
                _count(scores[condition.name].setdefault(item.kind, KindScore()), item, answer.text)
        if said_to is not None and count % 10 == 0:
            said_to(f"{count} of {len(specs)} scenes")
    return scores


def _count(score: KindScore, asked: Asked, text: str) -> None:
    score.asked += 1
    score.right += right(asked, text)
    score.keys[asked.key if asked.options else "-"] += 1
    score.chance += 1.0 / asked.options if asked.options else 0.0
    if asked.kind in (*METRES, "position", "size") and said(asked.kind, text):
        score.errors_m.append(error_m(asked, text))


def table(scores: dict[str, KindScore], others: dict[str, dict[str, KindScore]]) -> list[str]:
    """Markdown lines: accuracy with interval, chance, majority, and the other conditions."""
    names = list(others)
    lines = [
        "| type | right | accuracy | 95 % | chance | majority |"
        + "".join(f" {name} |" for name in names),
        "|---|---|---|---|---|---|" + "---|" * len(names),
    ]
    for kind in [kind for kind in KINDS if kind in scores]:
        one = scores[kind]
        low, high = one.interval()
        guess = f"{one.chance / one.asked:.2f}" if one.chance else "-"
        most = f"{one.majority:.2f}" if one.chance else "-"
        cells = [f"{others[name][kind].accuracy:.3f}" for name in names if kind in others[name]]
        lines.append(
            f"| {kind} | {one.right}/{one.asked} | {one.accuracy:.3f} | {low:.3f}-{high:.3f} "
            f"| {guess} | {most} |" + "".join(f" {cell} |" for cell in cells)
        )
    return lines
