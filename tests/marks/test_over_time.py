"""What came and went between the views of one scene: only what is seen to be free is said."""

import dataclasses

import numpy as np
import pytest

from oryx_scene.lab.synth.scenes import SceneSpec, render_spec
from oryx_scene.lab.synth.true_marks import objects_under
from oryx_scene.marks.change.over_time import changes_over_time
from oryx_scene.marks.finder import find_marks
from oryx_scene.records import Changes, Frame, Intrinsics, Mark, MarkObservation, MarkSet, ViewSet

K = Intrinsics(np.array([[50.0, 0, 32], [0, 50.0, 24], [0, 0, 1]]), 48, 64)
AWAY = np.diag([-1.0, 1.0, -1.0, 1.0])  # looks the other way
SECOND = 1_000_000_000


def view(second, middle_m, rest_m=4.0, pose=None):
    """One grey picture: a square in its middle at one depth, the rest at another."""
    depth = np.full((48, 64), rest_m, np.float32)
    depth[16:33, 24:41] = middle_m
    return Frame(
        camera="cam",
        stamp_ns=int(second * SECOND),
        frame_id="cam",
        rgb=np.full((48, 64, 3), 120, np.uint8),
        sha256="",
        depth=depth,
        intrinsics=K,
        T_fixed_camera=np.eye(4) if pose is None else pose,
        fixed_frame="map",
    )


def marked(*views):
    """A mark on the square at 2 m, seen in ``views``."""
    seen = tuple(
        MarkObservation(i, 32.0, 24.0, 0.0, 2.0, 1.0, 289, (24.0, 16.0, 40.0, 32.0)) for i in views
    )
    return MarkSet((Mark(1, seen, (0.0, 0.0, 2.05), (0.7, 0.7, 0.1), 0.02, frame_id="map"),))


def told(frames, *views):
    return changes_over_time(ViewSet(tuple(frames)), marked(*views))


def test_gone_is_what_a_later_view_looks_through():
    assert told([view(0, 2.0), view(1, 4.0)], 0) == Changes(gone=(1,))


def test_new_is_what_an_earlier_view_looked_through():
    assert told([view(0, 4.0), view(1, 2.0)], 1) == Changes(new=(1,))


def test_a_mark_seen_at_both_times_stays():
    assert told([view(0, 2.0), view(1, 2.0)], 0, 1) == Changes()
    # Without a number in the second view, its surface is there all the same.
    assert told([view(0, 2.0), view(1, 2.0)], 0) == Changes()


@pytest.mark.parametrize(
    "other",
    [view(1, 1.0, 1.0), view(1, 4.0, pose=AWAY), dataclasses.replace(view(1, 4.0), depth=None)],
    ids=["something stands in front", "nobody looks there", "no depth"],
)
def test_nothing_is_said_of_what_cannot_be_seen(other):
    assert told([view(0, 2.0), other], 0) is None
    # Another view that sees the place says it.
    assert told([view(0, 2.0), other, view(2, 4.0)], 0) == Changes(gone=(1,))


def test_pictures_of_one_time_tell_no_change():
    assert told([view(0, 2.0), view(0.1, 4.0)], 0) is None


@pytest.mark.parametrize("seed", [4, 5])
def test_the_finder_marks_what_came_and_went_and_says_so(seed):
    world, frames = render_spec(SceneSpec(seed, "train", "handheld", 8, changed=True))
    views = ViewSet(tuple(frames))
    marks = find_marks(views)
    objects = objects_under(views, marks)
    changes = changes_over_time(views, marks)
    assert changes is not None and changes.gone + changes.new
    assert {objects[number] for number in changes.gone} == world.gone
    assert {objects[number] for number in changes.new} == world.new


def test_a_box_that_reaches_beyond_the_picture_is_cut():
    seen = MarkObservation(0, 32.0, 24.0, 0.0, 2.0, 1.0, 289, (24.0, 16.0, 70.0, 60.0))
    marks = MarkSet((Mark(1, (seen,), (0.0, 0.0, 2.05), (0.7, 0.7, 0.1), 0.02, frame_id="map"),))
    assert changes_over_time(ViewSet((view(0, 2.0), view(1, 4.0))), marks) == Changes(gone=(1,))


def test_boxes_of_marks_lie_in_their_pictures_whatever_the_size():
    found = 0
    for seed, (height, width) in enumerate([(384, 512), (193, 257), (241, 323)]):
        _, frames = render_spec(SceneSpec(seed, "test", views=2, height=height, width=width))
        for mark in find_marks(ViewSet(tuple(frames))).marks:
            for seen in mark.observations:
                u0, v0, u1, v1 = seen.bbox
                assert 0 <= u0 <= u1 <= width - 1 and 0 <= v0 <= v1 <= height - 1
                found += u1 == width - 1 or v1 == height - 1
    assert found  # some were cut at the border
