"""Several questions on one scene, and a scene after another: the pipeline's side of sharing."""

import numpy as np
import pytest

pytest.importorskip("torch", reason="the extra 'model' is not installed")

from oryx_scene.config import BudgetConfig, MarksConfig, PipelineConfig
from oryx_scene.errors import QuestionError
from oryx_scene.model.api import Limits
from oryx_scene.model.checkpoint.load import load_answerer
from oryx_scene.qa.answer_json import answer_to_dict
from oryx_scene.qa.pipeline import ScenePipeline
from oryx_scene.records import Frame, Question

CONFIG = PipelineConfig(
    budget=BudgetConfig(compression="4", video_max_side=96), marks=MarksConfig(enabled=False)
)
ASKED = [Question("What is here?"), Question("How many chairs?"), Question("Where is it?")]


def frame(camera, stamp):
    seed = sum(camera.encode()) + stamp
    rgb = np.random.default_rng(seed).integers(0, 255, (96, 128, 3), dtype=np.uint8)
    return Frame(camera, stamp, camera, rgb, f"{seed:064d}")


@pytest.fixture
def engine():
    return load_answerer("random", device="cpu")


def test_questions_together_are_questions_in_turn(engine):
    pipeline = ScenePipeline(engine, CONFIG)
    scene = pipeline.freeze([frame("front", 1), frame("left", 2)], 3)
    pieces = {0: "", 1: "", 2: ""}

    def collect(index, text):
        pieces[index] += text

    limits = [Limits(max_new_tokens=n) for n in (5, 9, 7)]
    together = pipeline.ask_many(scene, ASKED, limits, collect)
    turn = [pipeline.ask(scene, *pair) for pair in zip(ASKED, limits, strict=True)]
    for index, (one, other) in enumerate(zip(together, turn, strict=True)):
        first, second = answer_to_dict(one), answer_to_dict(other)
        for plain in (first, second):
            assert plain.pop("timings_s")["ask"] > 0
            assert plain.pop("counters")["prefills"] == 1
        assert first == second
        raw = engine.generate(pipeline.prompt_for(scene, ASKED[index]), limits[index])
        assert pieces[index] == raw.text != ""


class OneByOne:
    """An answerer that knows single prompts only."""

    def __init__(self, engine):
        self.card, self.count_text_tokens = engine.card, engine.count_text_tokens
        self.engine, self.asked = engine, 0

    def generate(self, prompt, limits, on_text=None):
        self.asked += 1
        return self.engine.generate(prompt, limits, on_text)


def test_an_answerer_of_single_prompts_is_asked_in_turn(engine):
    single = OneByOne(engine)
    scene = ScenePipeline(engine, CONFIG).freeze([frame("front", 1)], 3)
    pieces = []
    found = ScenePipeline(single, CONFIG).ask_many(
        scene, ASKED, Limits(max_new_tokens=3), lambda index, _: pieces.append(index)
    )
    both = ScenePipeline(engine, CONFIG).ask_many(scene, ASKED, Limits(max_new_tokens=3))
    assert single.asked == 3
    assert [one.text for one in found] == [one.text for one in both]
    assert pieces == sorted(pieces)


def test_one_question_that_cannot_be_asked_stops_all_before_any(engine):
    pipeline = ScenePipeline(engine, CONFIG)
    scene = pipeline.freeze([frame("front", 1)], 3)
    with pytest.raises(QuestionError):
        pipeline.ask_many(scene, [*ASKED, Question("  ")])
    assert engine.work.prefills == 0


def test_views_that_stay_keep_their_place_and_are_not_read_again(engine):
    pipeline = ScenePipeline(engine, CONFIG)
    frames = [frame(name, 1) for name in ("a", "b", "c", "d")]
    first = pipeline.freeze(frames, 2)
    pipeline.ask(first, ASKED[0], Limits(max_new_tokens=1))
    # "a" has moved on; by name alone it would stand first and nothing could be kept.
    fresh = [frame("a", 5), *frames[1:]]
    plain = pipeline.freeze(fresh, 6)
    assert [own.camera for own in plain.views.frames] == ["a", "b", "c", "d"]
    moved = [frames[0], frame("b", 5), *frames[2:]]
    second = pipeline.freeze(moved, 6, after=first)
    assert [own.camera for own in second.views.frames] == ["a", "c", "d", "b"]
    before = engine.work.encodes
    answer = pipeline.ask(second, ASKED[0], Limits(max_new_tokens=4))
    assert engine.work.encodes - before == 1
    alone = ScenePipeline(load_answerer("random", device="cpu"), CONFIG)
    assert answer.text == alone.ask(second, ASKED[0], Limits(max_new_tokens=4)).text
    # Without an earlier scene the order is the one of the names: nothing hidden is remembered.
    assert [own.camera for own in pipeline.freeze(moved, 6).views.frames] == ["a", "b", "c", "d"]


def test_verdicts_choices_marks_and_texts_are_asked_for_together(engine, monkeypatch):
    pipeline = ScenePipeline(engine, CONFIG)
    scene = pipeline.freeze([frame("front", 1), frame("left", 2)], 3)
    asked = [
        Question("Is it free?", "yes_no"),
        Question("What is here?"),
        Question("Which one?", "choice", ("a chair", "a table")),
        Question("Is it red?", "yes_no"),
        Question("Where is it?"),
        Question("Which marks?", "marks"),
    ]
    limits = Limits(max_new_tokens=5)
    turn = [pipeline.ask(scene, question, limits) for question in asked]
    calls = []
    score, many = engine.score, engine.generate_many
    monkeypatch.setattr(engine, "score", lambda *a: calls.append(("score", len(a[0]))) or score(*a))
    monkeypatch.setattr(
        engine, "generate_many", lambda *a: calls.append(("say", len(a[0]))) or many(*a)
    )
    together = pipeline.ask_many(scene, asked, limits)
    assert calls == [("score", 4), ("say", 2)]
    for one, other in zip(together, turn, strict=True):
        assert (one.text, one.verdict, one.choice) == (other.text, other.verdict, other.choice)
        assert one.scores == pytest.approx(other.scores, abs=1e-4)


def test_a_cancelled_verdict_does_not_stop_the_others(engine):
    pipeline = ScenePipeline(engine, CONFIG)
    scene = pipeline.freeze([frame("front", 1)], 3)
    asked = [Question("Is it free?", "yes_no"), Question("Is it red?", "yes_no")]
    found = pipeline.ask_many(scene, asked, [Limits(cancelled=lambda: True), Limits()])
    assert found[0].stop_reason == "cancelled"
    assert (found[0].verdict, found[0].scores) == ("", {})
    assert found[1].scores == pytest.approx(pipeline.ask(scene, asked[1]).scores, abs=1e-4)
