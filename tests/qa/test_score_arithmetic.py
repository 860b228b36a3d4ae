"""Arithmetic of scored answers, and what of an answer's text is shown while it streams."""

import math

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from oryx_scene.model.api import Candidate, Continuation, FormCalibration
from oryx_scene.qa.scoring import (
    Option,
    branch_sums,
    calibrated,
    choice_options,
    decide,
    exclusive_sums,
    first_mark_options,
    log_sum,
    next_mark_options,
    yes_no_options,
)
from oryx_scene.qa.stream import VisibleText


def scored(*given):
    """Continuations by (ids, probabilities)."""
    return [Continuation(Candidate("x"), ids, tuple(map(math.log, p))) for ids, p in given]


def exp(values):
    return [math.exp(value) for value in values]


def test_sums_of_logarithms():
    assert log_sum([]) == -math.inf
    assert log_sum([-math.inf, -math.inf]) == -math.inf
    assert math.exp(log_sum([math.log(0.25), -math.inf, math.log(0.5)])) == pytest.approx(0.75)
    # So small that their exponentials are zero.
    assert log_sum([-2000.0, -2000.0]) == pytest.approx(-2000 + math.log(2))


def test_spellings_of_options():
    def spelled(options):
        return {o.name: [(c.text, c.ends) for c in o.variants] for o in options}

    assert spelled(yes_no_options()) == {
        "yes": [("Yes", False), ("yes", False)],
        "no": [("No", False), ("no", False)],
    }
    assert spelled(choice_options(["Red", "b"])) == {"0": [("Red", True)], "1": [("b", True)]}
    assert spelled(choice_options(["Red", "b"], within=True)) == {
        "0": [("Red", False), ("red", False)],
        "1": [("b", False)],
    }
    assert spelled(first_mark_options([3])) == {
        "3": [("3", False), ("Mark 3", False), ("mark 3", False)],
        "none": [("none", True), ("None", False), ("No mark", False)],
    }
    assert spelled(next_mark_options([3])) == {
        "3": [(", 3", False), (" and 3", False), (", mark 3", False)],
        "end": [("", True), (".", False)],
    }


def test_of_longer_continuations_the_nearest_is_taken_off():
    """Of 0.5 for "1", "12" takes 0.25; "123" is part of that and takes nothing more."""
    given_ = scored(((1,), (0.5,)), ((1, 2), (0.5, 0.5)), ((1, 2, 3), (0.5, 0.5, 0.5)))
    assert exp(exclusive_sums(given_)) == pytest.approx([0.25, 0.125, 0.125])
    two = scored(((1,), (0.5,)), ((1, 2), (0.5, 0.25)), ((1, 3), (0.5, 0.5)))
    assert exp(exclusive_sums(two)) == pytest.approx([0.125, 0.125, 0.25])
    whole = scored(((1,), (0.5,)), ((1, 2), (0.5, 1.0)))
    assert exclusive_sums(whole)[0] == -math.inf


def test_where_nothing_branches_nothing_is_lost():
    assert branch_sums(scored(((1, 2, 3), (0.1, 0.2, 0.3)))) == [0.0]
    same = branch_sums(scored(((1, 2), (0.5, 0.2)), ((1, 3), (0.5, 0.6))))
    assert exp(same) == pytest.approx([0.25, 0.75])
    # One that may end before the other: a rest of nothing is impossible.
    ended = branch_sums(scored(((1,), (0.5,)), ((1, 2), (0.5, 1.0))))
    assert exp(ended) == pytest.approx([0.0, 1.0])


def options(*names, variants=1):
    return tuple(Option(name, (Candidate(name),) * variants) for name in names)


def test_the_first_of_equals_is_best_and_its_likeliest_spelling_is_told():
    found = decide(options("a", "b"), scored(((1,), (0.2,)), ((2,), (0.2,))))
    assert (found.best, found.confidence, found.variant) == ("a", 0.5, 0)
    assert found.mass == pytest.approx(0.4)
    two = options("a", "b", variants=2)
    given_ = scored(((1,), (0.1,)), ((2,), (0.05,)), ((3,), (0.2,)), ((4,), (0.3,)))
    found = decide(two, given_)
    assert (found.best, found.variant) == ("b", 1)
    assert found.probabilities == pytest.approx({"a": 0.15 / 0.65, "b": 0.5 / 0.65})
    assert found.mass == pytest.approx(0.65)


def test_branching_changes_the_choice_and_not_the_mass():
    given_ = scored(((1,), (0.3,)), ((2, 3), (0.4, 0.5)))
    plain = decide(options("short", "long"), given_)
    branched = decide(options("short", "long"), given_, branching=True)
    assert (plain.best, branched.best) == ("short", "long")
    assert branched.confidence == pytest.approx(4 / 7)
    assert plain.mass == branched.mass == pytest.approx(0.5)


def test_calibration_scales_and_leans_to_the_first():
    even = [math.log(0.8), math.log(0.2)]
    assert calibrated(even, FormCalibration()) == pytest.approx([0.8, 0.2])
    assert calibrated(even, FormCalibration(scale=0.5)) == pytest.approx([2 / 3, 1 / 3])
    assert calibrated(even, FormCalibration(bias=math.log(2))) == pytest.approx([8 / 9, 1 / 9])
    assert calibrated([-math.inf, -math.inf], FormCalibration()) == [0.5, 0.5]
    assert decide(options("a", "b"), scored(((1,), (0.5,)), ((2,), (0.4,))), None).best == "a"
    leant = FormCalibration(bias=-1.0)
    assert decide(options("a", "b"), scored(((1,), (0.5,)), ((2,), (0.4,))), leant).best == "b"


# -- streaming ------------------------------------------------------------------------------------


def streamed(*pieces, works=False):
    """What is passed on with each piece, and at the end."""
    shown = []
    visible = VisibleText(shown.append, works=works)
    steps = []
    for piece in pieces:
        visible.feed(piece)
        steps.append("".join(shown))
        shown.clear()
    visible.finish()
    assert "" not in shown
    return [*steps, "".join(shown)]


@pytest.mark.parametrize(
    ("pieces", "works", "steps"),
    [
        (("Mark ", "1."), False, ["Mark ", "1.", ""]),
        (("  Mark ", "1."), False, ["Mark ", "1.", ""]),
        # What may begin a mark of working waits until it does not.
        (("1 <", " 2"), False, ["1 ", "< 2", ""]),
        (("1 <th", "ing"), False, ["1 ", "<thing", ""]),
        (("1 </thin",), False, ["1 ", "</thin"]),
        # A model that writes its working first is certain of nothing before its end.
        (("Mark ", "1."), True, ["", "", "Mark 1."]),
        (("<think>a</think>", "Yes"), True, ["", "", "Yes"]),
        (("<think>a", "</think> Yes"), False, ["", "", "Yes"]),
        # What was shown turns out to be working: the answer begins on a line of its own.
        (("a ", "b</think>", "Yes"), False, ["a ", "", "", "\nYes"]),
    ],
)
def test_what_is_shown_while_an_answer_streams(pieces, works, steps):
    assert streamed(*pieces, works=works) == steps


@given(st.lists(st.sampled_from(["a", " ", "<", "</", "think>", "b <th", "\n"]), max_size=8))
def test_a_stream_without_working_is_the_text(pieces):
    text = "".join(pieces)
    assume("<think>" not in text and "</think>" not in text)
    assert "".join(streamed(*pieces)).rstrip() == text.strip()
