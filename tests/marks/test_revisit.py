"""What other views see at a thing's place: exact votes on a square before a wall."""

import dataclasses

import numpy as np
import pytest

from oryx_scene.marks.change.changed import what_changed
from oryx_scene.marks.change.compared import Compared, pair_still
from oryx_scene.marks.change.revisit import inside_box, revisit, surface_of, verdicts
from oryx_scene.marks.colour_invariance import paint_of
from oryx_scene.records import Frame, Intrinsics, Mark, MarkObservation, MarkSet, ViewSet

K = Intrinsics(np.array([[50.0, 0, 32], [0, 50.0, 24], [0, 0, 1]]), 48, 64)
RED, BLUE, GREY = (200, 40, 40), (40, 40, 200), (120, 120, 120)


def view(squares, camera="a", **rest):
    """A grey wall 4 m away and squares of 9 px before it: ((u, v) of its middle, depth, colour)."""
    depth, rgb = np.full((48, 64), 4.0, np.float32), np.full((48, 64, 3), GREY, np.uint8)
    for (u, v), z, colour in squares:
        depth[v - 4 : v + 5, u - 4 : u + 5] = z
        rgb[v - 6 : v + 7, u - 6 : u + 7] = colour
    made = {"depth": depth, "intrinsics": K, "T_fixed_camera": np.eye(4), "fixed_frame": "map"}
    return Frame(camera, 1, "cam", rgb, "", **{**made, **rest})


def mark(number, u=32, v=24, z=2.0, size=(0.36, 0.36, 0.1), view=0, **rest):
    box = (u - 4.0, v - 4.0, u + 4.0, v + 4.0)
    seen = MarkObservation(view, float(u), float(v), 0.0, z, 1.0, 81, box)
    place = ((u - 32) * z / 50, (v - 24) * z / 50, z)
    made = {"position": place, "size": size, "position_std": 0.02, "frame_id": "map"}
    return Mark(number, (seen,), **{**made, **rest})


HERE = view([((32, 24), 2.0, RED)])


def test_a_surface_is_what_lies_in_the_box():
    points, paint = inside_box(mark(1), mark(1).observations[0], HERE)
    assert len(points) == 81 and (points[:, 2] == 2.0).all()
    assert (points[:, 0].min(), points[:, 0].max()) == pytest.approx((-0.16, 0.16))
    assert paint[40] == pytest.approx(paint_of(np.array([RED], np.uint8))[0])
    # Half of 0.31 m and a rim of 5 mm are 16 cm: the outermost pixels are just in.
    for wide, count in ((0.311, 81), (0.309, 49)):
        small = mark(1, size=(wide, wide, 0.1))
        assert len(inside_box(small, small.observations[0], HERE)[0]) == count
    thin = mark(1, size=(0.36, 0.36, 0.0), position=(0, 0, 2.006))
    assert len(inside_box(thin, thin.observations[0], HERE)[0]) == 0
    for name in ("depth", "intrinsics", "T_fixed_camera"):
        bare = dataclasses.replace(HERE, **{name: None})
        assert len(inside_box(mark(1), mark(1).observations[0], bare)[0]) == 0


def test_points_are_in_the_fixed_frame_and_few():
    T = np.eye(4)
    T[:3, 3] = 5, 6, 7
    moved = dataclasses.replace(HERE, T_fixed_camera=T)
    there = mark(1, position=(5, 6, 9))
    surface = surface_of(there, ViewSet((moved,)))
    assert surface.points.mean(axis=0) == pytest.approx((5, 6, 9))
    assert surface.shifted(np.array([1, 0, 0])).points[:, 0].mean() == pytest.approx(6)
    # A box of 40 x 40 pixels has 1600; every second each way are 400.
    large = dataclasses.replace(there.observations[0], bbox=(12.0, 4.0, 51.0, 43.0))
    wide = mark(1, size=(9, 9, 9), position=(5, 6, 9))
    assert len(inside_box(wide, large, moved)[0]) == 400
    assert surface_of(dataclasses.replace(there, position=None), ViewSet((moved,))) is None
    assert surface_of(dataclasses.replace(there, size=None), ViewSet((moved,))) is None
    assert surface_of(dataclasses.replace(there, observations=()), ViewSet((moved,))) is None
    # Under twelve points are no surface.
    for rows, known in ((3.0, True), (2.0, False)):
        few = dataclasses.replace(there.observations[0], bbox=(30.0, 22.0, 33.0, 21.0 + rows))
        found = surface_of(dataclasses.replace(there, observations=(few,)), ViewSet((moved,)))
        assert (found is not None) == known


@pytest.mark.parametrize(
    ("square", "seen", "gone"),
    [
        (((32, 24), 2.0, RED), 81, 0),
        (((32, 24), 2.07, RED), 81, 0),  # within 4 % of 2 m
        (((32, 24), 2.09, RED), 81, 81),  # looked through
        (((32, 24), 1.93, RED), 81, 0),
        (((32, 24), 1.91, RED), 0, 0),  # something stands in front
        (((32, 24), 2.0, BLUE), 81, 81),  # another colour
        (((10, 10), 2.0, RED), 81, 81),  # the wall
        (((32, 24), np.nan, RED), 0, 0),
    ],
)
def test_what_a_view_says_of_a_surface(square, seen, gone):
    surface = surface_of(mark(1), ViewSet((HERE,)))
    other = view([square])
    there, away = verdicts(surface, other)
    assert (int((there | away).sum()), int(away.sum())) == (seen, gone)
    assert not (there & away).any()
    found = revisit(surface, ViewSet((other,)))
    assert found.seen_share == seen / 81
    assert found.changed_share == (gone / seen if seen else 0.0)


def test_near_the_camera_5_cm_are_one_depth():
    near = view([((32, 24), 0.5, RED)])
    surface = surface_of(mark(1, z=0.5), ViewSet((near,)))
    for z, gone in ((0.549, 0), (0.551, 81)):
        assert verdicts(surface, view([((32, 24), z, RED)]))[1].sum() == gone


def test_a_point_that_one_view_sees_is_there_whatever_others_say():
    surface = surface_of(mark(1), ViewSet((HERE,)))
    empty = view([])
    assert revisit(surface, ViewSet((empty,))).changed_share == 1.0
    assert revisit(surface, ViewSet((empty, HERE))).changed_share == 0.0
    blind = dataclasses.replace(HERE, depth=None)
    assert revisit(surface, ViewSet((blind,))).seen_share == 0.0
    behind = dataclasses.replace(HERE, T_fixed_camera=np.diag([-1.0, 1, -1, 1]))
    assert revisit(surface, ViewSet((behind,))).seen_share == 0.0
    # Half of it outside of the picture has no verdict.
    beside = np.eye(4)
    beside[0, 3] = 32 * 2.0 / 50
    shifted = dataclasses.replace(view([]), T_fixed_camera=beside)
    assert revisit(surface, ViewSet((shifted,))).seen_share == pytest.approx(5 / 9)


def changed(before, old, after, new):
    return what_changed(ViewSet((before,)), MarkSet(old), ViewSet((after,)), MarkSet(new))


def test_one_thing_goes_one_comes_and_one_stays():
    before = view([((12, 24), 2.0, RED), ((50, 24), 2.0, BLUE)])
    after = view([((32, 10), 2.0, (200, 200, 40)), ((50, 24), 2.0, BLUE)])
    found = changed(before, (mark(4, 50), mark(2, 12)), after, (mark(7, 32, 10), mark(5, 50)))
    assert [item.number for item in found.disappeared] == [2]
    assert [item.number for item in found.appeared] == [7]
    assert (found.moved, found.stayed, found.unknown) == ((), ((4, 5),), {})
    assert found.changed


def test_a_thing_of_the_same_colour_elsewhere_has_moved():
    before, after = view([((12, 24), 2.0, RED)]), view([((42, 24), 2.0, RED)])
    found = changed(before, (mark(2, 12),), after, (mark(3, 42),))
    (moved,) = found.moved
    assert (moved.before.number, moved.after.number) == (2, 3)
    assert moved.distance_m == pytest.approx(30 * 2 / 50)
    assert moved.std_m == pytest.approx(0.02 * np.sqrt(2))
    assert (found.appeared, found.disappeared, found.stayed) == ((), (), ())
    # Other names, sizes or colours are two things.
    for rest in ({"label": "b"}, {"size": (0.9, 0.36, 0.1)}):
        pair = changed(before, (mark(2, 12, label="a"),), after, (mark(3, 42, **rest),))
        assert pair.moved == () and len(pair.appeared) == len(pair.disappeared) == 1
    named = changed(before, (mark(2, 12, label="a"),), after, (mark(3, 42, label="a"),))
    assert len(named.moved) == 1


def test_of_two_pairs_those_that_look_alike_are_taken():
    orange = (220, 100, 40)
    before = view([((12, 12), 2.0, RED), ((12, 36), 2.0, orange)])
    after = view([((50, 12), 2.0, orange), ((50, 36), 2.0, RED)])
    found = changed(
        before, (mark(1, 12, 12), mark(2, 12, 36)), after, (mark(3, 50, 12), mark(4, 50, 36))
    )
    assert [(m.before.number, m.after.number) for m in found.moved] == [(1, 4), (2, 3)]


def test_what_is_gone_in_part_is_unknown_and_what_changed_little_stays():
    """Of 9 columns 4 are looked through: between a quarter and 70 %."""
    for columns, reason, stays in (
        (2, {}, True),
        (4, {"only a part of its place changed": 1}, False),
        (7, None, False),
    ):
        after = view([((32, 24), 2.0, RED)])
        after.depth[20:29, 28 : 28 + columns] = 4.0
        found = changed(HERE, (mark(1),), after, ())
        assert (found.stayed == ((1, 0),)) == stays
        assert [m.number for m in found.disappeared] == ([1] if reason is None else [])
        assert found.unknown == (reason or {})


def test_what_was_not_seen_again_is_unknown():
    # 3 of 9 columns within the picture are enough, 2 are too few.
    for shift_px, known in ((34, True), (35, False)):
        T = np.eye(4)
        T[0, 3] = shift_px * 2.0 / 50
        found = changed(HERE, (mark(1),), dataclasses.replace(view([]), T_fixed_camera=T), ())
        assert bool(found.disappeared) == known
        said = {} if known else {"its place was not seen in the other scene": 1}
        assert found.unknown == said
    unsized = changed(HERE, (mark(1, size=None),), HERE, ())
    assert list(unsized.unknown.values()) == [1]
    blind = dataclasses.replace(HERE, depth=None)
    assert changed(HERE, (mark(1),), blind, ()).unknown == {"no depth": 1}
    assert changed(blind, (), HERE, ()).unknown == {}
    assert changed(HERE, (), HERE, ()).changed is False


def test_things_at_one_place_are_paired_by_the_nearest_whose_boxes_meet():
    def still(*marks):
        return [Compared(one, None, None) for one in marks]

    old = still(mark(1, 32), mark(2, 40))
    new = still(mark(5, 41), mark(6, 33), mark(7, 60))
    assert pair_still(old, new) == ((1, 6), (2, 5), (0, 7))
    # Boxes of 0.36 m meet up to 0.36 m apart: 9 px at 2 m.
    assert pair_still(still(mark(1, 32)), still(mark(2, 40))) == ((1, 2),)
    assert pair_still(still(mark(1, 32)), still(mark(2, 41))) == ((1, 0), (0, 2))
    assert pair_still(still(mark(1, size=None)), still(mark(2))) == ((1, 0), (0, 2))
    assert pair_still(still(mark(1), mark(3)), still(mark(2))) == ((1, 2), (3, 0))
