"""The format `number`: the one number of the text with its unit, compared with measurements."""

import math

import numpy as np
import pytest
from fake_answerer import FakeAnswerer

from oryx_scene.qa.answer_json import answer_to_dict
from oryx_scene.qa.formats import FORMATS, parse_answer
from oryx_scene.qa.pipeline import ScenePipeline
from oryx_scene.records import Frame, Mark, MarkSet, Predicate, Question

# 3 m and 4 m away from the camera, 5 m from each other.
MARKS = tuple(
    Mark(number, (), position=place, position_std=0.02, frame_id="map")
    for number, place in ((1, (3.0, 0.0, 0.0)), (2, (0.0, 0.0, 4.0)))
)


def ask(text, says):
    """The answer of a model that says ``says``, about two marks with places."""
    frame = Frame(
        "front", 1, "front", np.zeros((64, 64, 3), np.uint8), "", T_fixed_camera=np.eye(4)
    )
    answerer = FakeAnswerer(words=(says,))
    pipeline = ScenePipeline(answerer, find_marks=lambda *_: MarkSet(MARKS))
    return pipeline.ask(pipeline.freeze([frame], 2), Question(text, "number"))


def codes(answer):
    return [warning.code for warning in answer.warnings]


@pytest.mark.parametrize(
    ("text", "value", "unit"),
    [
        ("Mark 2 is 1.4 m away.", 1.4, "m"),
        ("35 cm", 0.35, "m"),
        ("It is 12 millimetres thick.", 0.012, "m"),
        ("about 2 kilometres", 2000.0, "m"),
        ("Mark 1 is 0.5 m from mark 2.", 0.5, "m"),
        ("marks 1 and 3 are 2 m apart", 2.0, "m"),
        ("It is turned by 90 degrees.", math.pi / 2, "rad"),
        ("-0.25 rad", -0.25, "rad"),
        ("There are 3.", 3.0, ""),
        ("#4 is 7 m away", 7.0, "m"),
    ],
)
def test_the_one_number_beside_mark_numbers(text, value, unit):
    parsed = parse_answer(text, Question("How far?", "number"), range(9))
    assert parsed.fields == {"value": pytest.approx(value), "unit": unit}
    assert parsed.warnings == ()


@pytest.mark.parametrize("text", ["Mark 1 is 0.8 by 1.1 m.", "far away", "mark 2", "2 m or 3 m"])
def test_none_or_several_are_no_number(text):
    parsed = parse_answer(text, Question("How big?", "number"), range(9))
    assert math.isnan(parsed.fields["value"]) and parsed.fields["unit"] == ""
    assert [warning.code for warning in parsed.warnings] == ["answer_not_in_format"]


@pytest.mark.parametrize(
    ("question", "right", "wrong", "predicate"),
    [
        ("How far is mark 2?", "4.1 m", "1.2 m", Predicate.RANGE),
        ("How far is mark 1 from mark 2?", "490 cm", "300 cm", Predicate.DISTANCE),
    ],
)
def test_a_bare_length_is_compared_with_what_was_measured(question, right, wrong, predicate):
    good, bad = ask(question, right), ask(question, wrong)
    assert "answer_contradicts_measurement" not in codes(good)
    (stated,) = [one for one in good.relations if one.source == "model"]
    assert (stated.predicate, stated.value) == (predicate, good.fields["value"])
    assert bad.fields["value"] == pytest.approx(float(wrong.split()[0]) / (1, 100)["cm" in wrong])
    assert "answer_contradicts_measurement" in codes(bad)


def test_the_number_stands_in_json_and_message_and_null_where_there_is_none():
    plain = answer_to_dict(ask("How far is mark 2?", "Mark 2 is 4.0 m away."))
    assert (plain["value"], plain["unit"], plain["text"]) == (4.0, "m", "Mark 2 is 4.0 m away.")
    absent = ask("How far is mark 9?", "5 m")
    assert answer_to_dict(absent)["value"] is None and "no_such_mark" in codes(absent)
    message = FORMATS["number"].message(ask("How far is mark 2?", "4 m"))
    assert message == {"value": 4.0, "unit": "m"}
