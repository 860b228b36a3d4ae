import numpy as np
import pytest

from oryx_scene.errors import QuestionError
from oryx_scene.qa.facts import direction_facts, fitting_facts, position_facts
from oryx_scene.qa.formats import check_question, parse_answer
from oryx_scene.qa.parse import named_numbers, read_choice, split_scratchpad
from oryx_scene.qa.question_words import QuestionKind, question_kinds, viewpoint_of
from oryx_scene.qa.stream import VisibleText
from oryx_scene.records import (
    Frame,
    Mark,
    MarkObservation,
    MarkSet,
    Predicate,
    Question,
    Relation,
    ViewSet,
)
from oryx_scene.scene.measurements import Measurements
from oryx_scene.scene.prompt_text import view_names


@pytest.mark.parametrize(
    ("text", "kinds"),
    [
        ("What is left of the red toolbox, and how far?", {"distance", "direction"}),
        ("What colour is mark 3?", {"other"}),
        ("Where is the chair?", {"position"}),
        ("How big is mark 2?", {"size"}),
        ("Is this bright?", {"other"}),
        ("Is mark 2 above mark 1?", {"height"}),
        ("Is mark 2 on mark 1?", {"contact"}),
        ("What is on top of the box?", {"contact"}),
    ],
)
def test_only_fitting_kinds(text, kinds):
    assert {kind.value for kind in question_kinds(text)} == kinds
    assert QuestionKind("other") in QuestionKind


@pytest.mark.parametrize(
    ("question", "said"),
    [
        (Question(""), "empty"),
        (Question("   \n"), "empty"),
        (Question("a\x00b"), "NUL"),
        (Question("ü" * 16385), "32770 bytes"),
        (Question("bad \udcff byte"), "UTF-8"),
        (Question("q", "choice", ("one",)), "at least 2"),
        (Question("q", "poem"), "poem"),
        (Question("q", "json"), "schema"),
    ],
)
def test_bad_questions_are_refused_with_a_reason(question, said):
    with pytest.raises(QuestionError, match=said):
        check_question(question)


def test_a_question_of_exactly_32_kib_is_taken():
    assert check_question(Question("a" * 32768)).text


def test_facts_round_and_never_say_minus_zero():
    mark = Mark(3, (), position=(1.24, -0.04, 0.26), frame_id="map")
    assert position_facts([mark]) == "Measured places in map, metres: 3 x 1.2 y 0.0 z 0.3."
    assert direction_facts([(3, (0.5, -0.2, 2.0))], "front") == (
        "Measured from front, metres right: 3 0.5; metres ahead: 3 2.0."
    )


def test_views_of_one_camera_are_numbered():
    assert view_names(["front", "left"]) == ("front", "left")
    assert view_names(["cam", "cam", "left"]) == ("cam 1", "cam 2", "left")


@pytest.mark.parametrize(
    ("text", "marks"),
    [
        ("Mark 3 is left of mark 5.", (3, 5)),
        ("marks 1, 2 and 4", (1, 2, 4)),
        ("It is 3 m away and there are 2 chairs.", ()),
        ("2, 7", (2, 7)),
        ("The box (#4) is red.", (4,)),
        ("mark 2 is 1.5 m from mark 1", (2, 1)),
        ("object 6", (6,)),
    ],
)
def test_numbers_are_marks_only_where_they_must_be(text, marks):
    assert named_numbers(text) == marks


def test_unknown_marks_are_told():
    parsed = parse_answer("mark 9 and mark 2", Question("q"), [1, 2])
    assert parsed.marks == (2,)
    assert parsed.unknown_marks == (9,)
    assert any("9" in warning.text for warning in parsed.warnings)


def test_scratchpad_is_hidden_and_kept():
    assert split_scratchpad("<think>mark 1 red</think> It is red.") == ("It is red.", "mark 1 red")
    text, pad = split_scratchpad("<think>never ends")
    assert (text, pad) == ("", "never ends")
    parsed = parse_answer("<think>never ends", Question("q"), [])
    assert parsed.warnings


@pytest.mark.parametrize(
    ("text", "verdict"),
    [("Yes, it is.", "yes"), ("no", "no"), ("I cannot tell from here", "unsure"), ("Maybe", "")],
)
def test_verdicts(text, verdict):
    assert parse_answer(text, Question("q", "yes_no"), []).verdict == verdict


def test_a_choice_is_named_or_not_made():
    assert read_choice("It is dark red.", ["red", "dark red"]) == 1
    assert read_choice("red or blue", ["red", "blue"]) == -1
    assert read_choice("tired", ["red", "blue"]) == -1


# Raw text, the answer in it, its working.
WORKINGS = [
    ("<think>mark 1 is < 2 m</think>\nIt is <b>red</b>.", "It is <b>red</b>.", "mark 1 is < 2 m"),
    ("Mark 1 red; 2 red</think>Mark 1 is red.", "Mark 1 is red.", "Mark 1 red; 2 red"),
    ("</think>Yes.", "Yes.", ""),
    ("no</think>Yes, it is.", "Yes, it is.", "no"),
    ("<think>a</think>b</think>Yes.", "Yes.", "a\nb"),
    ("<think>a<think>b</think>Yes.", "Yes.", "a\nb"),
    ("No. <think>a</think>Yes.", "Yes.", "No.\na"),
    ("a</think>Yes. <think>b", "Yes.", "a\nb"),
    ("a</think>", "", "a"),
    ("Yes.", "Yes.", ""),
]


@pytest.mark.parametrize(("raw", "text", "working"), WORKINGS)
def test_all_before_the_last_closing_mark_is_working(raw, text, working):
    assert split_scratchpad(raw) == (text, working)
    if raw.startswith("no"):
        assert parse_answer(raw, Question("q", "yes_no"), []).verdict == "yes"


def streamed(raw, size, *, works=True):
    seen: list[str] = []
    visible = VisibleText(seen.append, works=works)
    for start in range(0, len(raw), size):
        visible.feed(raw[start : start + size])
    before = "".join(seen)
    visible.finish()
    return before, "".join(seen)


@pytest.mark.parametrize("size", [1, 2, 3, 100])
@pytest.mark.parametrize(("raw", "text", "working"), WORKINGS)
def test_streaming_hides_the_working_however_it_is_cut(raw, text, working, size):
    assert streamed(raw, size) == ("", text)


def test_a_model_without_working_streams_at_once():
    assert streamed(" It is < 2 m", 3, works=False) == ("It is < 2 m", "It is < 2 m")
    assert streamed("Yes. </thin", 3, works=False) == ("Yes. ", "Yes. </thin")
    # It wrote a working all the same: the answer follows on a line of its own.
    assert streamed("no</think>Yes.", 2, works=False) == ("no", "no\nYes.")
    assert streamed("<think>no</think>Yes.", 2, works=False) == ("", "Yes.")


@pytest.mark.parametrize(
    ("question", "viewpoint"),
    [
        ("Is mark 1 right of mark 2 from left?", 2),
        ("Is mark 1 in front of mark 2, seen from the right camera?", 3),
        ("Is mark 1 to the left of mark 2?", 0),
        ("From the camera back, what is in front of mark 2?", 1),
    ],
)
def test_a_direction_is_not_taken_for_a_view(question, viewpoint):
    names = ("front", "back", "left", "right")
    assert viewpoint_of(question, names, newest=0) == viewpoint


def test_facts_name_only_the_marks_that_are_asked_for():
    frame = Frame("front", 1, "front", np.zeros((1, 1, 3), np.uint8), "", T_fixed_camera=np.eye(4))
    marks = tuple(
        Mark(n, (), position=(0.5 * n, 0.0, 2.0), size=(0.1, 0.2, 0.3)) for n in (1, 2, 3)
    )
    found = MarkSet(marks, (Relation(3, Predicate.ON, 1, "map"),))

    def line(question, *order):
        return fitting_facts(question, Measurements(ViewSet((frame,)), found), "fit", *order)

    # The asked direction only; the name of the viewpoint asks for none.
    assert line("From front, is mark 1 behind mark 3?") == (
        "Measured from front, metres ahead: 1 2.0; 3 2.0.",
    )
    assert line("Is mark 1 beside mark 3?") == (
        "Measured from front, metres right: 1 0.5; 3 1.5; metres ahead: 1 2.0; 3 2.0.",
    )
    assert line("Is mark 1 left of mark 3?") == (
        "Measured from front, metres right: 1 0.5; 3 1.5.",
    )
    # By number: the first of the list is not the answer; nearest first only where that was learnt.
    assert line("Which mark is nearest to mark 3?") == (
        "Measured distances, metres: 3 to 1 1.0; 3 to 2 0.5.",
    )
    assert line("Which mark is nearest to mark 3?", "distance") == (
        "Measured distances, metres: 3 to 2 0.5; 3 to 1 1.0.",
    )
    assert line("How far is mark 2 from the camera?") == (
        "Measured from front, metres away: 2 2.2.",
    )
    assert line("Is mark 3 on mark 1?") == ("Measured contacts: 3 on 1.",)
    assert line("How big is mark 2?") == ("Measured sizes, metres: 2 0.1 by 0.2 by 0.3.",)
    # The optical frame's z is not up: heights would be wrong.
    assert line("Is mark 3 above mark 1?") == ()


@pytest.mark.parametrize(
    ("away", "std", "told"),
    # At 1 m half a metre (two deviations) is the most, at 4 m a quarter of the way.
    [
        *((1.0, 0.25, True), (1.0, 0.2501, False), (4.0, 0.5, True), (4.0, 0.5001, False)),
        (1.0, float("nan"), True),
    ],
)
def test_a_place_that_is_not_sure_enough_is_no_fact(away, std, told):
    frame = Frame("front", 1, "front", np.zeros((1, 1, 3), np.uint8), "", T_fixed_camera=np.eye(4))
    seen = (MarkObservation(0, 0.5, 0.5, 1.0, away, 1.0, 1, (0, 0, 0, 0)),)
    mark = Mark(1, seen, position=(0.0, 0.0, away), size=(0.1, 0.1, 0.1), position_std=std)
    measured = Measurements(ViewSet((frame,)), MarkSet((mark,)))
    assert measured.marks.marks == (mark,)
    for question in ("How far is mark 1?", "Where is mark 1 in metres?", "How big is mark 1?"):
        assert bool(fitting_facts(question, measured, "fit")) is told
    assert bool(measured.by_view[0].points) is told


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ('{"a": [1, 2]}', '{"a":[1,2]}'),
        ('Here it is: {"a": 1}.', '{"a":1}'),
        ('{"a": [1, 2], "b":', ""),
        ('  [{"a": 1}, ', ""),
    ],
)
def test_json_that_breaks_off_is_no_answer(text, found):
    question = Question("?", format="json", json_schema="{}")
    parsed = parse_answer(text, question, ())
    assert parsed.json == found
    assert any("no JSON" in warning.text for warning in parsed.warnings) == (not found)
