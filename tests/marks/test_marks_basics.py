"""Marks on a recording of a furnished office and on a made room with known boxes."""

import dataclasses
import itertools

import numpy as np
import pytest

from oryx_scene.config import MarksConfig
from oryx_scene.lab.evaluation.mark_scores import score_marks
from oryx_scene.marks.drawing import Disc, disc_radius, draw_marks
from oryx_scene.marks.finder import find_marks
from oryx_scene.marks.relations import measure_relations
from oryx_scene.model.api import ModelCard
from oryx_scene.qa.claim_check import cross_check
from oryx_scene.records import Frame, Intrinsics, Mark, Predicate, Relation, ViewSet
from oryx_scene.sources.registry import open_source

# Boxes on a floor at z = 0, z up: centre x, y and colour; each 0.3 m wide and 0.4 m high.
BOXES = {"red": (2.0, 0.6, (200, 30, 30)), "blue": (2.4, -0.5, (30, 30, 200))}
INTRINSICS = Intrinsics(np.array([[250.0, 0, 159.5], [0, 250.0, 119.5], [0, 0, 1]]), 240, 320)


def made_view(y, name):
    """Ray-cast floor and boxes from a camera at (0, y, 0.8) that looks along +x."""
    v, u = np.mgrid[0:240, 0:320]
    K = INTRINSICS.K
    rays = np.stack([(u - K[0, 2]) / K[0, 0], (v - K[1, 2]) / K[1, 1], np.ones(u.shape)], axis=-1)
    R = np.array([[0.0, 0, 1], [-1, 0, 0], [0, -1, 0]])
    d = rays @ R.T
    origin = np.array([0.0, y, 0.8])
    with np.errstate(divide="ignore"):
        floor = np.where(d[..., 2] < 0, -origin[2] / d[..., 2], np.inf)
    depth, labels = floor.copy(), np.zeros(u.shape, dtype=np.int32)
    rgb = np.full((240, 320, 3), 150, dtype=np.uint8)
    for number, (x, by, colour) in enumerate(BOXES.values(), 1):
        low, high = np.array([x - 0.15, by - 0.15, 0.0]), np.array([x + 0.15, by + 0.15, 0.4])
        with np.errstate(divide="ignore", invalid="ignore"):
            a, b = (low - origin) / d, (high - origin) / d
        near, far = np.fmin(a, b).max(axis=-1), np.fmax(a, b).min(axis=-1)
        hit = (near < far) & (near > 0) & (near < depth)
        depth[hit], labels[hit], rgb[hit] = near[hit], number, colour
    depth[depth > 5] = np.nan
    T = np.eye(4)
    T[:3, :3], T[:3, 3] = R, origin
    return Frame(
        name, 10**9, f"{name}_optical", rgb, name, depth=depth.astype(np.float32),
        intrinsics=INTRINSICS, T_fixed_camera=T, fixed_frame="map", labels=labels,
    )  # fmt: skip


@pytest.fixture(scope="module")
def room():
    return ViewSet((made_view(0.3, "left"), made_view(0.0, "mid"), made_view(-0.3, "right")))


@pytest.fixture(scope="module")
def office(office_folder):
    return ViewSet(tuple(list(open_source(office_folder).frames())[2:]))


def objects_under(marks, views):
    """Mark number -> set of true labels under its centres."""
    return {
        mark.number: {
            int(views.frames[o.view].labels[int(o.v), int(o.u)]) for o in mark.observations
        }
        for mark in marks.marks
    }


def test_the_same_number_on_the_same_box_in_every_view(room):
    found = find_marks(room)
    under = objects_under(found, room)
    assert all(len(labels) == 1 for labels in under.values())
    assert set().union(*under.values()) == {1, 2}
    assert all(len(mark.observations) == 3 for mark in found.marks)


def test_places_and_sizes_are_measured(room):
    found = find_marks(room)
    by_label = {next(iter(v)): k for k, v in objects_under(found, room).items()}
    for label, (x, y, _) in enumerate(BOXES.values(), 1):
        mark = next(m for m in found.marks if m.number == by_label[label])
        # The backs are never seen: the middle is known to half a box.
        assert mark.position == pytest.approx((x, y, 0.2), abs=0.16)
        assert mark.frame_id == "map"


def test_relations_of_the_made_room(room):
    found = find_marks(room)
    by_label = {next(iter(v)): k for k, v in objects_under(found, room).items()}
    red, blue = by_label[1], by_label[2]
    pairs = {(r.subject, r.predicate, r.object) for r in found.relations}
    assert (red, Predicate.LEFT_OF, blue) in pairs
    assert (blue, Predicate.RIGHT_OF, red) in pairs
    assert (red, Predicate.IN_FRONT_OF, blue) in pairs
    assert not any(p in (Predicate.ABOVE, Predicate.BELOW, Predicate.ON) for _, p, _ in pairs)


@pytest.mark.parametrize("which", ["room", "office"])
def test_the_order_of_the_views_does_not_matter(which, request):
    views = request.getfixturevalue(which)
    expected = find_marks(views)
    for order in itertools.permutations(range(3)):
        shuffled = find_marks(ViewSet(tuple(views.frames[i] for i in order)))
        assert len(shuffled.marks) == len(expected.marks)
        for a, b in zip(shuffled.marks, expected.marks, strict=True):
            assert a.position == b.position
            seen = {(order[o.view], o.u, o.v) for o in a.observations}
            assert seen == {(o.view, o.u, o.v) for o in b.observations}


def judged(views, office_frames):
    """The counts of the last three views, by the true ids of their pixels."""
    true = office_frames[1][2:]
    labelled = [
        dataclasses.replace(frame, labels=item.labels)
        for frame, item in zip(views.frames, true, strict=True)
    ]
    return score_marks(ViewSet(tuple(labelled)), find_marks(views), true_views=ViewSet(tuple(true)))


def test_numbers_on_the_office_are_right_and_their_discs_apart_and_inside(office, office_frames):
    found = find_marks(office)
    assert len(found.marks) == 8
    counts = judged(office, office_frames)
    assert counts.wrong == 0
    assert counts.right >= 20
    for view in range(3):
        spots = [o for mark in found.marks for o in mark.observations if o.view == view]
        for o in spots:
            assert o.radius_px <= o.u <= 639 - o.radius_px
            assert o.radius_px <= o.v <= 479 - o.radius_px
        for a, b in itertools.combinations(spots, 2):
            assert np.hypot(a.u - b.u, a.v - b.v) > a.radius_px + b.radius_px - 2


def test_poses_10_to_30_cm_off_lose_numbers_and_give_no_wrong_one(
    drifted_office_folder, office_frames
):
    views = ViewSet(tuple(list(open_source(drifted_office_folder).frames())[2:]))
    off = [
        float(np.linalg.norm(frame.T_fixed_camera[:3, 3] - given.T_fixed_camera[:3, 3]))
        for frame, given in zip(views.frames, office_frames[0][2:], strict=True)
    ]
    assert min(off) >= 0.1 and max(off) <= 0.3
    counts = judged(views, office_frames)
    assert counts.wrong <= 1
    assert counts.right >= 6


def test_k_is_kept_and_the_rest_counted(office):
    found = find_marks(office, MarksConfig(max_marks=3))
    assert [mark.number for mark in found.marks] == [1, 2, 3]
    assert found.left_out["beyond the number of marks"] > 0


def test_a_lost_pose_takes_the_marks_of_its_view_only(office):
    lost = (dataclasses.replace(office.frames[0], T_fixed_camera=None), *office.frames[1:])
    found = find_marks(ViewSet(lost))
    assert found.route == "depth"
    assert all(o.view != 0 for mark in found.marks for o in mark.observations)
    assert any("no marks there" in text.text for text in found.warnings)


def test_all_unknown_depth_gives_no_marks(office):
    frame = office.frames[0]
    unknown = dataclasses.replace(frame, depth=np.full_like(frame.depth, np.nan))
    assert find_marks(ViewSet((unknown,))).marks == ()


def test_a_disc_is_red_with_white_digits_and_one_token_large():
    image = np.zeros((256, 512, 3), dtype=np.uint8)
    drawn = draw_marks(image, [Disc(7, 100.0, 80.0, 20.0)])
    assert not image.any()
    assert drawn[80, 82].tolist() == [226, 26, 28]
    assert drawn[80, 125].tolist() == [0, 0, 0]
    disc = drawn[62:99, 82:119].reshape(-1, 3)
    assert (disc.min(axis=1) > 200).sum() > 20
    assert np.array_equal(drawn, draw_marks(image, [Disc(7, 100.0, 80.0, 20.0)]))
    assert disc_radius(1000, 1, 0.075) == 25.0
    # One token large, unless that would hide what it names.
    assert disc_radius(512, 2, 0.075) == 16.0
    assert disc_radius(256, 2, 0.075) == pytest.approx(9.6)
    assert disc_radius(1000, 4, 0.075) == 32.0
    assert disc_radius(64, 4, 0.075) == 8.0


@pytest.mark.parametrize("stride", [1, 2, 4])
@pytest.mark.parametrize("width", [512, 544, 640, 1024])
def test_a_number_is_a_visual_token_wide_unless_the_checkpoint_says_otherwise(width, stride):
    share = ModelCard("any", "", "", "", 1000).learnt.largest_disc_share
    assert 2 * disc_radius(width, stride, share) >= 16 * stride


def test_a_leader_runs_from_the_disc_to_the_thing():
    image = np.full((120, 160, 3), 90, np.uint8)
    drawn = draw_marks(image, [Disc(3, 50.0, 60.0, 16.0, (110.0, 60.0))])
    red = (drawn[..., 0] > 180) & (drawn[..., 1] < 80)
    white = drawn.min(axis=2) > 180
    # From the rim (66) to the thing, thin, red between two light lines; nothing beyond its end.
    assert red[60, 68:109].all() and white[57:64, 80].sum() == 2
    assert not red[:, 114:].any() and red[:, 80].sum() <= 3
    # A small disc's leader is red alone: a light rim would hide what it leads to.
    thin = draw_marks(image, [Disc(3, 50.0, 60.0, 9.0, (110.0, 60.0))])
    assert not (thin[:, 62:].min(axis=2) > 180).any()


def test_close_calls_are_not_called():
    def mark(number, x):
        return Mark(number, (), position=(2.0, x, 0.2), position_std=0.05, frame_id="map")

    views = [made_view(0.0, "front")]
    near = measure_relations([mark(1, 0.05), mark(2, -0.05)], views)
    far = measure_relations([mark(1, 0.5), mark(2, -0.5)], views)
    assert Predicate.LEFT_OF not in {r.predicate for r in near}
    assert Predicate.LEFT_OF in {r.predicate for r in far}
    assert next(r.value for r in far if r.predicate is Predicate.DISTANCE) == pytest.approx(1.0)


def test_contradictions_name_both_sides():
    measured = (
        Relation(1, Predicate.RIGHT_OF, 2, "view:front"),
        Relation(1, Predicate.DISTANCE, 2, "map", 2.0, "m", 0.05),
        Relation(3, Predicate.NEAREST, 1, "map", 0.5, "m"),
    )
    stated, said = cross_check("Mark 1 is to the left of mark 2.", measured)
    assert stated[0].source == "model"
    assert "left of" in said[0]
    assert "right of" in said[0]
    assert cross_check("Mark 1 is right of mark 2.", measured)[1] == ()
    assert cross_check("Mark 1 is 2.1 m from mark 2.", measured)[1] == ()
    assert "2.0 m" in cross_check("Mark 2 is 5 m from mark 1.", measured)[1][0]
    assert "mark 1" in cross_check("The nearest to mark 3 is mark 2.", measured)[1][0]
    assert cross_check("Mark 1 is not left of mark 2.", measured)[0] == ()
