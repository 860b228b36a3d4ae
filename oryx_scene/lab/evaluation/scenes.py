"""How right answers are, on unseen synthetic scenes, through the whole pipeline with own marks.

Questions are about the marks that the project's own finder gave; keys come from the truth. Counts
and existence are judged by every object that a view shows well enough, whether it got a mark or
not. Close calls are not asked (`synth.questions`). Answers run freely; only the condition "scored"
asks in the form "yes_no".
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence

import numpy as np

from oryx_scene.config import MarksConfig
from oryx_scene.lab.evaluation.scene_scores import KindScore, Scores, add_scores
from oryx_scene.lab.evaluation.scene_settings import PLAIN, SceneCondition
from oryx_scene.lab.synth.judge import YES_NO
from oryx_scene.lab.synth.marked_scene import MarkedObject, MarkedScene, true_scene
from oryx_scene.lab.synth.question_types import SceneQuestion
from oryx_scene.lab.synth.questions import KINDS, ask
from oryx_scene.lab.synth.scenes import SceneSpec, pipeline_config, render_spec
from oryx_scene.lab.synth.true_marks import objects_under
from oryx_scene.lab.synth.world import World
from oryx_scene.model.api import Answerer, Limits
from oryx_scene.qa.pipeline import ScenePipeline
from oryx_scene.records import Frame, MarkSet, Question, ViewSet
from oryx_scene.scene.freeze import Scene

# Judged by all visible objects, marked or not.
OVER_ALL = ("exists", "count", "total")
# A description of eight marks with its working takes 106.
MOST_TOKENS = 128


def questions_of(
    scene: Scene, world: World, kinds: Sequence[str] = KINDS, seed: int = 0
) -> list[SceneQuestion]:
    """One question of each kind about the marks of ``scene``, whose frames carry true ids."""
    objects = objects_under(scene.views, scene.marks)
    marked = true_scene(scene.marks, objects, world.truth, scene.views, world)
    everything = _with_unmarked(marked, scene.views.frames, world, set(objects.values()))
    rng = np.random.default_rng([23, seed])
    found = [ask(everything if kind in OVER_ALL else marked, kind, rng) for kind in kinds]
    return [_in_form(asked, "text") for asked in found if asked is not None]


def _in_form(asked: SceneQuestion, form: str) -> SceneQuestion:
    return dataclasses.replace(asked, question=Question(asked.question.text, form))


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
            things[number] = MarkedObject(
                number, thing.colour, thing.shape, thing.position, thing.extent
            )
    return dataclasses.replace(marked, things=things)


def judge_scene(
    answerer: Answerer,
    spec: SceneSpec,
    conditions: Sequence[SceneCondition] = (PLAIN,),
    kinds: Sequence[str] = KINDS,
) -> Scores:
    """Render one scene once and ask the same questions about it under every condition."""
    world, frames = render_spec(spec)
    now_ns = max(frame.stamp_ns for frame in frames)
    plain = ScenePipeline(answerer, pipeline_config(spec))
    scene = plain.freeze(frames, now_ns, synthetic=True)
    asked = questions_of(scene, world, kinds, spec.seed)
    found = scene.marks

    def known_marks(views: ViewSet, config: MarksConfig, question: str) -> MarkSet:
        return found

    scores: Scores = {}
    for condition in conditions:
        own = ScenePipeline(answerer, condition.config(spec), known_marks)
        shown = scene
        if not (condition.pictures and condition.marks):
            shown = own.freeze(scene.views.frames, now_ns, synthetic=True)
        scores[condition.name] = _judge(own, shown, asked, condition)
    return scores


def _judge(
    pipeline: ScenePipeline, scene: Scene, asked: Sequence[SceneQuestion], condition: SceneCondition
) -> dict[str, KindScore]:
    if condition.scored:
        asked = [_in_form(item, "yes_no") for item in asked if item.kind in YES_NO]
    answers = pipeline.ask_many(
        scene, [item.question for item in asked], Limits(max_new_tokens=MOST_TOKENS)
    )
    found: dict[str, KindScore] = {}
    for item, answer in zip(asked, answers, strict=True):
        score = found.setdefault(item.kind, KindScore())
        if condition.scored:
            score.count_scored(item, answer.scores)
        else:
            score.count(item, answer.text)
    return found


def evaluate(
    answerer: Answerer,
    specs: Sequence[SceneSpec],
    conditions: Sequence[SceneCondition] = (PLAIN,),
    kinds: Sequence[str] = KINDS,
    said_to: Callable[[str], None] | None = None,
) -> Scores:
    """Condition -> kind -> score over all ``specs``. All conditions are asked the same."""
    scores: Scores = {item.name: {} for item in conditions}
    for count, spec in enumerate(specs, 1):
        add_scores(scores, judge_scene(answerer, spec, conditions, kinds))
        if said_to is not None and count % 10 == 0:
            said_to(f"{count} of {len(specs)} scenes")
    return scores
