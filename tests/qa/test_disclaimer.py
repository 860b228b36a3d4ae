"""What an answer says about its model, and the room that a model gets for its working."""

import dataclasses
import json
import math
from pathlib import Path

import numpy as np
import pytest
from fake_answerer import FakeAnswerer, FakeScorer

import oryx_scene
from oryx_scene.config import MarksConfig, PipelineConfig
from oryx_scene.errors import BudgetError, ConfigError
from oryx_scene.model.api import (
    FormCalibration,
    Learnt,
    Limits,
    ModelCard,
)
from oryx_scene.model.checkpoint.sidecar_files import LEARNT_FILE, learnt_dict, load_learnt
from oryx_scene.qa.answer_json import answer_to_dict
from oryx_scene.qa.answer_record import disclaimer_for, never_learnt
from oryx_scene.qa.formats import parse_answer
from oryx_scene.qa.pipeline import ScenePipeline
from oryx_scene.qa.stream import VisibleText
from oryx_scene.records import Frame, Mark, MarkSet, Question

CARD = ModelCard("small", "", "", "", context_length=32768, synthetic_only=True)


WORKING = ("<th", "ink>1 re", "d</thi", "nk>", "Mark 1 is", " red.")


def thinker(card=CARD):
    """Writes its working, then a word."""
    return FakeAnswerer(WORKING, card=card)


def frozen(pipeline, **words):
    rgb = np.zeros((64, 64, 3), np.uint8)
    return pipeline.freeze([Frame("front", 1, "", rgb, "")], 1, **words)


def pipeline_of(answerer):
    return ScenePipeline(answerer, PipelineConfig(marks=MarksConfig(enabled=False)))


@pytest.mark.parametrize(("synthetic", "label"), [(True, ""), (False, "synthetic rooms only")])
def test_out_of_depth_is_said_in_every_answer(synthetic, label):
    pipeline = pipeline_of(thinker())
    answer = pipeline.ask(frozen(pipeline, synthetic=synthetic), Question("What is it?"))
    said = answer_to_dict(answer)
    assert label in said["provenance"]["caution"]
    assert bool(said["provenance"]["caution"]) == bool(label)
    assert any("out of its depth" in text["text"] for text in said["warnings"]) == bool(label)


def test_a_model_of_the_real_world_is_not_warned_of_and_a_random_one_always():
    assert disclaimer_for(dataclasses.replace(CARD, synthetic_only=False), synthetic=False) is None
    random = disclaimer_for(dataclasses.replace(CARD, trained=False), synthetic=True)
    assert random is not None and "random weights" in random.warning.text


@pytest.mark.parametrize("room", [0, 100])
def test_the_working_does_not_count_against_the_answers_limit(room):
    answerer = thinker(dataclasses.replace(CARD, scratchpad=room > 0, scratchpad_tokens=room))
    pipeline = pipeline_of(answerer)
    scene = frozen(pipeline)
    asked = [Question("What?"), Question("What else?")]
    pipeline.ask(scene, asked[0], Limits(max_new_tokens=7))
    pipeline.ask_many(scene, asked, [Limits(max_new_tokens=7), Limits(max_new_tokens=9)])
    assert [one.max_new_tokens - room for one in answerer.limits] == [7, 7, 9]
    context = scene.plan.visual_tokens + 20 + room
    answerer.card = dataclasses.replace(answerer.card, context_length=context)
    with pytest.raises(BudgetError, match=f"{30 + room} of answer exceed"):
        pipeline.ask(scene, asked[0], Limits(max_new_tokens=30))


def test_the_working_is_kept_beside_the_text_and_does_not_stream():
    pipeline, shown = pipeline_of(thinker()), []
    visible = VisibleText(shown.append)
    answer = pipeline.ask(frozen(pipeline), Question("What colour?"), on_text=visible.feed)
    visible.finish()
    assert (answer.text, answer.scratchpad) == ("Mark 1 is red.", "1 red")
    assert "".join(shown) == answer.text


# -- what the model was not asked, or never learnt -------------------------------------------------


def agreeing(card=CARD):
    """Says yes to everything."""
    return FakeScorer(WORKING, card=card, likely={("Yes", False): 0.8, ("No", False): 0.1})


def marked(answerer, numbers, **words):
    def find(views, config, question):
        return MarkSet(tuple(Mark(number, ()) for number in numbers))

    pipeline = ScenePipeline(answerer, find_marks=find)
    return pipeline, frozen(pipeline, **words)


@pytest.mark.parametrize(
    ("question", "text"),
    [
        ("What colour is mark 99?", "There is no mark 99: the marks are 1, 2, 7."),
        ("Is mark 1 left of mark 3?", "There is no mark 3: the marks are 1, 2, 7."),
        ("Which is nearer, #8 or mark 9?", "There are no marks 8 and 9: the marks are 1, 2, 7."),
        ("Where is mark 100?", "There is no mark 100: the marks are 1, 2, 7."),
    ],
)
@pytest.mark.parametrize("form", ["text", "yes_no", "choice", "marks", "json"])
def test_a_mark_that_is_not_there_is_said_and_the_model_not_asked(question, text, form):
    pipeline, scene = marked(agreeing(), (1, 2, 7))
    shown = []
    asked = Question(question, form, ("red", "blue"), "{}")
    answer = pipeline.ask(scene, asked, on_text=shown.append)
    assert (answer.text, "".join(shown)) == (text, text)
    assert (answer.verdict, answer.choice, answer.json, answer.marks) == ("", -1, "", ())
    assert answer.scores == {} and math.isnan(answer.confidence)
    assert pipeline.answerer.prompts == pipeline.answerer.scored == []
    assert "no_such_mark" in [warning.code for warning in answer.warnings]


@pytest.mark.parametrize(
    "question",
    [
        "What changed in frame 12?",
        "Compare picture #9 and view number 10.",
        "What is mark 7?",
        "Which objects 3 m away are red?",
        "Are there 20 objects?",
    ],
)
def test_what_is_no_mark_or_is_there_goes_to_the_model(question):
    pipeline, scene = marked(thinker(), (1, 2, 7))
    answer = pipeline.ask(scene, Question(question))
    assert len(pipeline.answerer.limits) == 1
    assert "no_such_mark" not in [warning.code for warning in answer.warnings]


def test_without_any_mark_that_is_what_is_said_and_without_marking_nothing():
    pipeline, scene = marked(thinker(), ())
    assert pipeline.ask(scene, Question("What is mark 1?")).text == (
        "There is no mark 1: nothing here has a number."
    )
    # Nothing is numbered because nobody wanted it: a number may stand in the picture itself.
    unmarked = pipeline_of(thinker())
    unmarked.ask(frozen(unmarked), Question("What is mark 1?"))
    assert len(unmarked.answerer.limits) == 1


def test_words_that_the_model_never_learnt_are_named():
    learnt = Learnt(("a", "colour", "has", "is", "there", "what"))
    pipeline = pipeline_of(thinker(dataclasses.replace(CARD, learnt=learnt)))
    scene = frozen(pipeline, synthetic=True)

    def named(text, *choices):
        answer = pipeline.ask(scene, Question(text, "choice" if choices else "text", choices))
        return [w.text for w in answer.warnings if w.code == "words_not_learnt"]

    assert named("Is there a chair?") == ['the model never learnt the word "chair"']
    assert named("What is the biggest?") == ['the model never learnt the words "the", "biggest"']
    # Names of views are the scene's words, numbers are none; choices are asked about too.
    assert named("What has front 2?") == []
    assert named("What colour is a?", "a", "teal") == ['the model never learnt the word "teal"']
    pipeline.answerer.card = CARD
    assert named("Is there a chair?") == []


def test_what_a_checkpoint_learnt_is_a_file_of_its_own(tmp_path):
    learnt = Learnt(("box", "red"), "distance", 0.1)
    (tmp_path / LEARNT_FILE).write_text(json.dumps(learnt_dict(learnt)))
    assert load_learnt(tmp_path) == learnt
    assert load_learnt(tmp_path / "none") == Learnt()
    for damaged in ('{"schema": "other"}', "[", '{"schema": "oryx_scene/learnt/1"}'):
        (tmp_path / LEARNT_FILE).write_text(damaged)
        with pytest.raises(ConfigError, match="learnt"):
            load_learnt(tmp_path)


def test_the_packaged_checkpoint_says_its_words():
    learnt = load_learnt(Path(oryx_scene.__file__).parent / "default_model")

    def unknown(text):
        return never_learnt(Question(text), learnt, ["hand 1", "head_front"])

    assert unknown("Is there a chair?") == ("chair",)
    assert unknown("What is the biggest object?") == ("biggest",)
    assert unknown("From head_front, is mark 3 in front of mark 12?") == ()
    assert unknown("How many purple cylinders are there?") == ()
    # Not trained since: the nearest of its list of distances is the first one.
    assert learnt.fact_order == "distance"


@pytest.mark.parametrize(
    ("about_rooms", "synthetic", "said"),
    [
        (True, True, "calibrated on 9 answers: rooms"),
        (True, False, "not calibrated for this source, which is not synthetic; scaled as fits 9"),
        (False, False, "calibrated on 9 answers: rooms"),
    ],
)
def test_a_confidence_is_called_calibrated_only_where_it_was(about_rooms, synthetic, said):
    fitted = FormCalibration(0.5, 0.0, 9, "rooms", about_rooms)
    card = dataclasses.replace(CARD, calibration={"yes_no": fitted})
    pipeline = pipeline_of(agreeing(card))
    answer = pipeline.ask(frozen(pipeline, synthetic=synthetic), Question("Is it?", "yes_no"))
    assert answer.provenance["confidence"].startswith(said)
    assert answer.verdict == "yes"


def test_an_empty_answer_is_a_warning():
    for raw in ("", " \n", "1 red</think>"):
        read = parse_answer(raw, Question("What?"), ())
        assert read.text == ""
        assert [warning.code for warning in read.warnings] == ["answer_empty"]
    (cut,) = parse_answer("<think>1 red", Question("What?"), ()).warnings
    assert cut.code == "working_cut_off"
