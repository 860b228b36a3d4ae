"""What views have shown so far: exact cases of taking in, joining, forgetting."""

import numpy as np
import pytest
from cut_views import cut

from oryx_scene.marks.depth.segments import NOTHING
from oryx_scene.marks.instance_map.instances import MOST_POINTS, Instance, InstanceStore

SECOND = 10**9
HALVES = np.repeat([[0] * 5 + [1] * 5], 10, axis=0)
RED, BLUE = (200, 30, 30), (30, 30, 200)


def painted(view, *colours):
    view.patches.rgb[:] = colours
    return view


def store(most=8, forget_s=100):
    return InstanceStore(most, forget_s * SECOND)


def thing(points, rgb=RED, stamp_ns=0):
    points = np.array(points, float)
    return Instance(points, np.zeros_like(points), np.array(rgb, np.float32), stamp_ns)


def test_the_newest_point_of_every_cell_of_5_cm_is_kept():
    one = thing([[0.01, 0, 0], [0.06, 0, 0]])
    new = np.array([[0.02, 0.01, 0.01], [-0.01, 0, 0]])
    one.add(new, np.ones((2, 3)), np.array([100, 30, 30], np.float32), 7)
    assert one.points.tolist() == [[0.02, 0.01, 0.01], [-0.01, 0, 0], [0.06, 0, 0]]
    assert one.normals.tolist() == [[1, 1, 1], [1, 1, 1], [0, 0, 0]]
    assert (one.last_ns, one.times, one.peak, one.number) == (7, 2, 3, 0)
    # The second view counts half; later ones a tenth at least.
    assert one.rgb.tolist() == [150, 30, 30]
    one.times = 50
    one.add(new[:0], new[:0], np.array([250, 30, 30], np.float32), 3)
    assert one.rgb[0] == pytest.approx(160) and one.last_ns == 7
    many = np.column_stack([np.arange(300) * 0.1, np.zeros((300, 2))])
    one.add(many, many, one.rgb, 8)
    assert len(one.points) == one.peak == MOST_POINTS
    assert one.points.tolist() == many[:MOST_POINTS].tolist()


def test_patches_become_things_and_are_known_again():
    known = store()
    first = known.observe(painted(cut(HALVES), RED, BLUE), 0)
    assert first.tolist() == [0, 1] and len(known) == 2
    again = known.observe(painted(cut(1 - HALVES), BLUE, RED), SECOND)
    assert again.tolist() == [1, 0] and len(known) == 2
    assert known.get(0).times == 2 and known.get(0).last_ns == SECOND
    # Another colour at the same place is another thing.
    green = known.observe(painted(cut(0), (30, 200, 30)), 2 * SECOND)
    assert green.tolist() == [2]
    assert known.get(7) is None and known.now(7) == -1


def test_small_patches_make_no_new_thing():
    labels = np.full((10, 10), NOTHING)
    labels[:4, :6] = 0  # 24 cells
    labels[6:7, :] = 1  # 10
    known = store()
    assert known.observe(painted(cut(labels), RED, BLUE), 0).tolist() == [0, -1]
    # But it goes on with one that is known.
    whole = store()
    whole.observe(painted(cut(0), RED), 0)
    assert whole.observe(painted(cut(np.where(labels == 1, 0, NOTHING)), RED), 1).tolist() == [0]


def test_what_a_view_looks_through_is_dropped():
    known = store()
    known.observe(painted(cut(0), RED), 0)
    assert known.observe(painted(cut(0, z=3.0), BLUE), 1).tolist() == [1]
    assert known.get(0) is None and len(known) == 1
    # Half of it is still there.
    known = store()
    known.observe(painted(cut(0), RED), 0)
    z = np.full((10, 10), 2.0)
    z[:, 5:] = 3.0
    known.observe(painted(cut(HALVES, z=z), RED, BLUE), 1)
    assert known.get(0) is not None
    assert known.get(0).points[:, 0].max() < 0.1


def test_what_lies_behind_or_far_away_is_not_looked_for():
    for away, found in ((0.0, 1), (6.9, 1), (7.1, 0)):
        known = store()
        known.observe(painted(cut(0), RED), 0)
        pose = np.eye(4)
        pose[2, 3] = -away
        names, samples = known._near(cut(NOTHING, pose=pose))
        assert len(names) == found and samples.count == found
        assert len(samples.points) == len(samples.owner)
    turned = np.diag([-1.0, 1, -1, 1])
    assert known._near(cut(NOTHING, pose=turned))[0] == []


def test_two_things_that_fall_on_one_patch_again_and_again_become_one():
    known = store()
    known.observe(painted(cut(HALVES), RED, RED), 0)
    known.get(0).number, known.get(1).number = 5, 3
    for index in range(1, 4):
        known.observe(painted(cut(0), RED), index)
        assert len(known) == 2
    # Seen apart once, it counts double: from three to one, so three more are needed.
    known.observe(painted(cut(HALVES), RED, RED), 4)
    for index in range(5, 7):
        known.observe(painted(cut(0), RED), index)
        assert len(known) == 2
    assert known.observe(painted(cut(0), RED), 7).tolist() == [0]
    assert len(known) == 1 and known.now(1) == 0 and known.get(1) is known.get(0)
    # The smaller number stays.
    assert known.numbered() == {0: 3}


def test_a_thing_unseen_for_long_is_forgotten():
    for away_s, left in ((100, 1), (101, 0)):
        known = store(forget_s=100)
        known.observe(painted(cut(0), RED), 0)
        known.observe(cut(NOTHING), away_s * SECOND)
        assert len(known) == left


def test_of_too_many_those_without_a_number_and_seen_least_go_first():
    known = store(most=3)
    for name in range(4):
        known._known[name] = thing([[name, 0, 0]], stamp_ns=10 - name)
    known._next = 4
    known._known[0].number = 1
    known._known[3].times = 3
    known._bound()
    # Of 1 and 2 the one seen longer ago.
    assert set(known._known) == {0, 1, 3}
    assert known._worth(0) > known._worth(3) > known._worth(1)
    assert known.numbered() == {0: 1}
