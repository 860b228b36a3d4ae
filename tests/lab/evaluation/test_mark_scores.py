"""Counting right, wrong and missed pairs on pictures drawn by hand."""

import numpy as np
import pytest

from oryx_scene.cli.main import main
from oryx_scene.errors import SourceError
from oryx_scene.lab.evaluation.mark_counts import MarkCounts
from oryx_scene.lab.evaluation.mark_scores import score_marks
from oryx_scene.records import Frame, Mark, MarkObservation, MarkSet, ViewSet

# Object 1 fills the left half, object 2 the right half, the lower third is background.
LABELS = np.zeros((60, 80), np.int32)
LABELS[:40, :40], LABELS[:40, 40:] = 1, 2
LEFT, RIGHT, FLOOR = (20, 20), (60, 20), (20, 50)


def views(count):
    rgb = np.zeros((60, 80, 3), np.uint8)
    return ViewSet(tuple(Frame(f"c{i}", i, "", rgb, "", labels=LABELS) for i in range(count)))


def mark(number, *places):
    seen = [
        MarkObservation(view, u, v, 4.0, 1.0, 1.0, 100, (0, 0, 1, 1))
        for view, (u, v) in enumerate(places)
    ]
    return Mark(number, tuple(seen))


def judged(*marks, count=3):
    return score_marks(views(count), MarkSet(tuple(marks)))


def test_all_right():
    found = judged(mark(1, LEFT, LEFT, LEFT), mark(2, RIGHT, RIGHT, RIGHT)).summary()
    assert found["pairs"] == 6
    assert found["pair_precision"] == found["pair_recall"] == found["pair_f1"] == 1.0
    assert found["mark_on_object"] == found["id_purity"] == found["fragments_per_object"] == 1.0


def test_one_number_on_two_objects_is_wrong():
    found = judged(mark(1, LEFT, LEFT, RIGHT))
    assert (found.right, found.wrong) == (1, 2)
    # Object 1 in views 0 and 1 is reached; two pairs of it and three of object 2 are not.
    assert (found.reached, found.missed) == (1, 5)
    assert found.summary()["id_purity"] == pytest.approx(2 / 3)


def test_two_numbers_on_one_object_are_fragments_and_reach_no_pair():
    found = judged(mark(1, LEFT), mark(2, LEFT), count=2)
    assert found.right == found.wrong == 0
    assert found.fragments == 2 and found.found == 1
    found = score_marks(views(2), MarkSet((mark(1, LEFT, LEFT), mark(2, LEFT, LEFT))))
    assert found.right == 2 and found.reached == 1


def test_a_number_on_the_background_is_wrong_and_not_on_an_object():
    found = judged(mark(1, FLOOR, FLOOR), count=2)
    assert (found.right, found.wrong, found.on_object) == (0, 1, 0)


def test_what_discs_do_is_counted():
    seen = (
        MarkObservation(0, 1.0, 20.0, 4.0, 1.0, 1.0, 100, (0, 0, 1, 1)),
        MarkObservation(1, 20.0, 20.0, 15.0, 1.0, 1.0, 100, (0, 0, 1, 1)),
    )
    found = score_marks(views(2), MarkSet((Mark(1, seen), mark(2, (5, 20)))))
    assert found.cut == 1 and found.overlapping == 1
    # A disc of radius 15 covers 707 of the 1600 pixels.
    assert found.over_fifth == 1
    assert found.hidden_object == pytest.approx((707 + 24 + 45) / 1600, abs=0.03)


def test_counts_of_scenes_add_up():
    total = MarkCounts()
    for _ in range(2):
        total.add(judged(mark(1, LEFT, LEFT, RIGHT)))
    assert (total.scenes, total.right, total.wrong, total.missed) == (2, 2, 4, 10)


def test_frames_without_truth_are_refused():
    rgb = np.zeros((60, 80, 3), np.uint8)
    with pytest.raises(SourceError, match="true ids"):
        score_marks(ViewSet((Frame("c", 1, "", rgb, ""),)), MarkSet())


def test_bad_arguments_are_one_line(capsys):
    assert main(["eval", "marks", "--conditions", "foggy"]) == 2
    assert "foggy" in capsys.readouterr().err
    assert main(["eval", "marks", "--size", "big"]) == 2
    assert main(["eval", "marks", "--scenes", "0"]) == 2
