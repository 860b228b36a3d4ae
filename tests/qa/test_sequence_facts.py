"""Facts about several views: which view is meant, what it shows, and when nothing is told."""

import numpy as np
import pytest

from oryx_scene.qa.facts import fitting_facts
from oryx_scene.qa.question_words import named_views
from oryx_scene.records import Changes, Frame, Mark, MarkObservation, MarkSet, ViewSet
from oryx_scene.scene.measurements import Measurements


def frame(camera, second):
    rgb = np.zeros((4, 4, 3), np.uint8)
    pose = {"T_fixed_camera": np.eye(4), "fixed_frame": "map"}
    return Frame(camera, second, camera, rgb, "", **pose)


def mark(number, *views):
    seen = tuple(MarkObservation(i, 0.0, 0.0, 0.0, 1.0, 1.0, 9, (0.0,) * 4) for i in views)
    return Mark(number, seen, (0.1 * number, 0.0, 2.0), frame_id="map")


VIEWS = ViewSet((frame("right", 1), frame("right", 2), frame("left", 1), frame("hand", 1)))
MARKS = (mark(1, 0, 1), mark(2, 1, 2), mark(3, 0, 1, 2, 3))
CHANGED = MarkSet(MARKS, changes=Changes((3,), (1,)))


def told(question, marks=CHANGED):
    return fitting_facts(question, Measurements(VIEWS, marks), "fit")


@pytest.mark.parametrize(
    ("question", "lines"),
    [
        ("What was in frame 3?", ["Seen in view 3: 2; 3."]),
        ("What do you see in right 1?", ["Seen in right 1: 1; 3."]),
        ("Which marks are in view left?", ["Seen in left: 2; 3."]),
        (
            "What differs between frames 1 and 3?",
            ["Seen in view 1 and view 3: 1 only in view 1; 2 only in view 3; 3 in both."],
        ),
        (
            "What is the difference between right 2 and hand?",
            ["Seen in right 2 and hand: 1 only in right 2; 2 only in right 2; 3 in both."],
        ),
        (
            "Compare pictures 2, 3 and 4.",
            [
                "Seen in view 2 and view 3 and view 4: 1 only in view 2; 2 in view 2 and view 3; "
                "3 in all."
            ],
        ),
        ("What changed?", ["Measured changes: 1 new; 3 gone."]),
        ("Was something taken away?", ["Measured changes: 1 new; 3 gone."]),
        ("What was in frame 9?", []),
        ("What is here?", []),
    ],
)
def test_what_views_show_is_told_where_it_is_asked_for(question, lines):
    assert list(told(question)) == lines


@pytest.mark.parametrize(
    "question",
    [
        "Seen from right 1, is mark 1 left of mark 2?",
        "Is mark 1 left of mark 2 from view 2?",
        "Which is nearer to the camera hand, mark 1 or mark 2?",
        "Is a ball between mark 1 and mark 2?",
    ],
)
def test_viewpoints_and_marks_between_bring_no_sightings(question):
    assert told(question) and not any("Seen in" in line for line in told(question))
    assert not named_views(question, Measurements(VIEWS, CHANGED).names) or "view 2" not in question


def test_no_change_is_told_only_where_something_is_known():
    assert told("What changed?", MarkSet(MARKS, changes=Changes())) == ("Measured changes: none.",)
    assert told("What changed?", MarkSet(MARKS)) == ()


def test_a_view_without_marks_is_told():
    assert told("What was in frame 4?", MarkSet((mark(2, 1),))) == ("Seen in view 4: none.",)
