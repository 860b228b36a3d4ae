"""Votes of points carried from view to view, and the links that follow: exact counts."""

import dataclasses

import numpy as np
import pytest
from cut_views import TOWARDS, cut

from oryx_scene.marks.depth.linking import (
    BACKGROUND_THERE,
    NOT_APART,
    NOTHING_THERE,
    Link,
    doubt,
    find_links,
    group_patches,
    visible_shares,
)
from oryx_scene.marks.depth.reprojection_votes import (
    CutView,
    ReprojectionVotes,
    Samples,
    carry,
    cast_votes,
)
from oryx_scene.marks.depth.segments import BACKGROUND, NOTHING, Patches
from oryx_scene.marks.depth.thin_parts import attach_limbs


def points(*places, normal=TOWARDS, owner=None):
    owner = np.zeros(len(places), np.int64) if owner is None else np.array(owner)
    normals = np.broadcast_to(np.array(normal, float), (len(places), 3))
    return Samples(np.array(places, float), normals, owner, int(owner.max()) + 1)


def counts(votes):
    """(seen, votes for each patch, backdrop, through) of the first owner."""
    return (
        int(votes.seen[0]),
        votes.onto[0].tolist(),
        int(votes.backdrop[0]),
        int(votes.through[0]),
    )


HALVES = np.repeat([[0] * 5 + [1] * 5], 10, axis=0)


def test_points_vote_for_the_patch_on_which_they_fall():
    votes = carry(points((-0.1, 0, 2.0), (0.1, 0, 2.0), (0.3, 0, 2.0)), cut(HALVES))
    assert counts(votes) == (3, [1, 2], 0, 0)
    # x / z * 10 + 4.5 is 4, 5, 6; y is 4.5, which rounds to 4.
    assert votes.cell.tolist() == [44, 45, 46] and votes.owner.tolist() == [0, 0, 0]
    assert counts(carry(points((0, 0, 2.0)), cut(BACKGROUND))) == (1, [], 1, 0)
    assert counts(carry(points((0, 0, 2.0)), cut(NOTHING))) == (0, [], 0, 0)
    # Outside of the picture, and behind the camera.
    for place in ((1.2, 0, 2.0), (-1.2, 0, 2.0), (0, 1.2, 2.0), (0, -1.2, 2.0), (0, 0, -2.0)):
        assert counts(carry(points(place), cut(0))) == (0, [0], 0, 0)
    for place in ((0.99, 0, 2.0), (-0.99, 0, 2.0), (0, 0.99, 2.0), (0, -0.99, 2.0)):
        assert counts(carry(points(place), cut(0))) == (1, [1], 0, 0)


@pytest.mark.parametrize(
    ("z", "there", "expected"),
    [
        (2.079, 2.0, (1, [1], 0, 0)),  # within 4 % of its depth
        (2.09, 2.0, (0, [0], 0, 0)),  # hidden behind the wall
        (1.93, 2.0, (1, [1], 0, 0)),
        (1.91, 2.0, (1, [0], 0, 1)),  # the view looks through it
        (0.549, 0.5, (1, [1], 0, 0)),  # 5 cm at least
        (0.551, 0.5, (0, [0], 0, 0)),
        (2.0, 0.0, (0, [0], 0, 0)),  # nothing is known there
    ],
)
def test_a_point_is_on_the_surface_within_the_error_of_poses(z, there, expected):
    assert counts(carry(points((0, 0, z)), cut(0, there))) == expected


def test_a_view_looks_through_a_point_only_all_around_it():
    view = cut(0)
    view.grid.nearest[:] = 1.5  # something nearer beside it
    assert counts(carry(points((0, 0, 1.6)), view)) == (0, [0], 0, 0)
    assert counts(carry(points((0, 0, 1.4)), view)) == (1, [0], 0, 1)
    assert carry(points((0, 0, 2.0), (0, 0, 1.4)), view).gone.tolist() == [1]


@pytest.mark.parametrize(
    ("normal", "same"),
    [
        ((0, 0, -1), True),
        ((0, 0.86, -0.51), True),  # 59 degrees
        ((0, 0.87, -0.49), False),  # 61 degrees
        ((0, 0, 1), False),
        ((0, 0, 0), True),  # unknown
    ],
)
def test_faces_that_are_turned_away_from_each_other_are_not_one(normal, same):
    assert counts(carry(points((0, 0, 2.0), normal=normal), cut(0)))[1] == [int(same)]
    blind = cut(0, normal=(0, 0, 0))
    assert counts(carry(points((0, 0, 2.0), normal=normal), blind))[1] == [1]
    # Normals are compared in the fixed frame.
    pose = np.diag([-1.0, 1, -1, 1])
    assert counts(carry(points((0, 0, -2.0), normal=(0, 0, 1)), cut(0, pose=pose)))[1] == [1]


def test_points_are_sampled_evenly_and_moved_to_the_fixed_frame():
    labels = np.full((10, 10), NOTHING)
    labels[2, 3:7], labels[5:7, 1:3] = 0, 1
    pose = np.eye(4)
    pose[:3, :3], pose[:3, 3] = [[0, -1, 0], [1, 0, 0], [0, 0, 1]], (1, 2, 3)
    view = cut(labels, normal=(0.6, 0, -0.8), pose=pose)
    assert view.samples.owner.tolist() == [0] * 4 + [1] * 4
    # Pixel (3, 2): x = -0.3, y = -0.5 in the picture, turned by 90 degrees and moved.
    assert view.samples.points[0] == pytest.approx((1.5, 1.7, 5.0))
    assert view.samples.normals[0] == pytest.approx((0, 0.6, -0.8))
    assert (view.height, view.width, view.samples.count) == (10, 10, 2)
    whole = cut(0)
    assert len(whole.samples.points) == 100


def test_all_votes_of_two_views():
    votes = cast_votes([cut(HALVES), cut(NOTHING), cut(0)])
    assert votes.node_view.tolist() == [0, 0, 2] and votes.node_patch.tolist() == [0, 1, 0]
    assert votes.first.tolist() == [0, 2, 2, 3] and votes.own.tolist() == [50, 50, 100]
    assert votes.onto.tolist() == [[0, 0, 50], [0, 0, 50], [50, 50, 0]]
    assert votes.seen.tolist() == [[0, 0, 50], [0, 0, 50], [100, 0, 0]]
    assert not votes.backdrop.any() and not votes.through.any()
    assert votes.nodes_of(0) == slice(0, 2) and votes.nodes_of(2) == slice(2, 3)
    assert set(votes.hits) == {(0, 1), (0, 2), (2, 0), (2, 1)}
    assert sorted(votes.hits[2, 0][:, 1]) == [2] * 100
    assert votes.hits[0, 2][:, 1].tolist().count(1) == 50
    assert cast_votes([cut(NOTHING)]).onto.shape == (0, 0)


def ballot(node_view, onto, seen=None, rgb=None, **rest):
    """Votes between nodes, given; colours are red unless said."""
    onto, count = np.array(onto), max(node_view) + 1
    rgb = np.array(rgb if rgb is not None else [(100, 0, 0)] * len(node_view), np.float32)
    views, first = [], [0]
    for view in range(count):
        own = [i for i, v in enumerate(node_view) if v == view]
        first.append(first[-1] + len(own))
        creased = rest.get("creased", np.zeros((len(own), len(own)), bool))
        patches = Patches(None, len(own), np.full(len(own), 50), rgb[own], creased)
        samples = Samples(np.zeros((0, 3)), np.zeros((0, 3)), np.zeros(0, np.int64), len(own))
        stamp = rest.get("stamps", [0] * count)[view]
        views.append(CutView(0, 0, None, np.eye(4), "map", None, patches, samples, stamp))
    if seen is None:
        seen = np.stack(
            [onto[:, np.array(node_view) == view].sum(axis=1) for view in range(count)], axis=1
        )
    nothing = np.zeros((len(node_view), count), np.int64)
    return ReprojectionVotes(
        tuple(views),
        np.array(node_view),
        np.arange(len(node_view)) - np.array(first)[node_view],
        np.array(first),
        np.array(rest.get("own", [10] * len(node_view))),
        onto,
        np.array(seen),
        np.array(rest.get("backdrop", nothing)),
        np.array(rest.get("through", nothing)),
        {},
    )


@pytest.mark.parametrize(
    ("there", "back", "seen", "weight"),
    [
        (10, 10, ([[0, 10], [10, 0]]), 1.0),
        (10, 5, ([[0, 10], [10, 0]]), 0.75),
        (5, 0, ([[0, 10], [4, 0]]), 0.5),  # the other direction sees too little to count
        (5, 0, ([[0, 10], [5, 0]]), None),  # 0.25
        (5, 1, ([[0, 10], [10, 0]]), 0.3),
        (4, 4, ([[0, 4], [4, 0]]), None),  # five votes at least
        (5, 4, ([[0, 5], [4, 0]]), 1.0),
    ],
)
def test_links_weigh_the_share_of_both_directions(there, back, seen, weight):
    links = find_links(ballot([0, 1], [[0, there], [back, 0]], seen))
    assert links == ([] if weight is None else [Link(0, 1, weight)])


def test_the_strongest_link_is_taken_first_and_two_of_one_view_stay_apart():
    # Node 2 of view 1 falls on both nodes of view 0, more on the second.
    rgb = [(100, 0, 0), (100, 10, 0), (100, 5, 0)]
    onto, seen = [[0, 0, 5], [0, 0, 9], [5, 9, 0]], [[0, 10], [0, 10], [14, 0]]
    votes = ballot([0, 0, 1], onto, seen, rgb)
    assert group_patches(votes).tolist() == [0, 1, 1]
    # A link from elsewhere may be stronger.
    assert group_patches(votes, [Link(0, 2, 2.0)]).tolist() == [0, 1, 0]
    # Groups are named by their least node.
    votes = ballot([0, 1, 2], [[0, 0, 9], [0, 0, 9], [9, 9, 0]])
    assert group_patches(votes).tolist() == [0, 0, 0]


def split(together, apart, **rest):
    """Nodes 0 and 1 of view 0; views of one patch see them as one, views of two as two."""
    views = [0, 0, *range(1, together + 1)]
    for index in range(apart):
        views += [together + index + 1] * 2
    onto = np.zeros((len(views), len(views)), int)
    for node, view in enumerate(views):
        if 0 < view <= together:
            onto[0, node] = onto[1, node] = onto[node, 0] = onto[node, 1] = 9
    for index in range(apart):
        node = 2 + together + 2 * index
        onto[0, node] = onto[node, 0] = onto[1, node + 1] = onto[node + 1, 1] = 9
    groups = group_patches(ballot(views, onto, **rest), [Link(0, 1, 3.0)])
    return groups[0] == groups[1]


def test_two_patches_of_one_view_are_one_where_more_views_say_so():
    assert split(2, 1) and split(1, 0)
    assert not split(1, 1) and not split(1, 2) and not split(0, 0)
    # In one view the limit of colours is narrower than across views.
    for angle, one in ((0.08, True), (0.09, False)):
        turned = (100 * np.cos(angle), 100 * np.sin(angle), 0)
        middle = (100 * np.cos(angle / 2), 100 * np.sin(angle / 2), 0)
        assert split(2, 0, rgb=[(100, 0, 0), turned, middle, middle]) == one


@pytest.mark.parametrize(
    ("rest", "said"),
    [
        ({}, ""),
        ({"backdrop": [[0, 6], [0, 0]]}, BACKGROUND_THERE),
        ({"backdrop": [[0, 5], [0, 0]]}, ""),  # half is not most
        ({"through": [[0, 6], [0, 0]]}, NOTHING_THERE),
        ({"through": [[0, 5], [0, 0]]}, ""),
    ],
)
def test_what_most_points_say_against_a_group(rest, said):
    votes = ballot([0, 1], np.zeros((2, 2), int), [[0, 10], [0, 0]], **rest)
    assert doubt(votes, np.array([0])) == said
    # Of fewer than five points nothing is said.
    few = ballot([0, 1], np.zeros((2, 2), int), [[0, 4], [0, 0]], through=[[0, 4], [0, 0]])
    assert doubt(few, np.array([0])) == ""


def test_a_piece_that_one_view_shows_apart_and_others_see_as_more():
    onto = [[0, 0, 6], [0, 0, 0], [0, 0, 0]]
    seen = [[0, 10], [0, 0], [0, 0]]
    assert doubt(ballot([0, 0, 1], onto, seen), np.array([0])) == NOT_APART
    onto[0][2] = 5
    assert doubt(ballot([0, 0, 1], onto, seen), np.array([0])) == ""
    assert doubt(ballot([0, 0, 1], onto, seen), np.array([0, 2])) == ""


def test_views_of_another_time_may_look_through_what_two_views_show():
    """It may have come or gone; 0.2 s are one time."""
    onto = np.zeros((3, 3), int)
    for stamp, said in ((200_000_000, NOTHING_THERE), (200_000_001, "")):
        votes = ballot(
            [0, 1, 2],
            onto,
            [[0, 0, 10], [0, 0, 10], [0, 0, 0]],
            through=[[0, 0, 10], [0, 0, 10], [0, 0, 0]],
            stamps=[0, 0, stamp],
        )
        assert doubt(votes, np.array([0, 1])) == said
        assert doubt(votes, np.array([0])) == NOTHING_THERE


def test_the_visible_share_is_that_of_all_points_of_the_group():
    votes = ballot([0, 1], [[0, 4], [6, 0]], own=[10, 30])
    assert visible_shares(votes, np.array([0, 1])) == pytest.approx([16 / 40, 34 / 40])
    votes = ballot([0, 1], [[0, 40], [6, 0]], own=[10, 30])
    assert visible_shares(votes, np.array([0, 1]))[1] == 1.0


def rods(width, length, gap, colour=(100, 0, 0), count=60):
    """A rod and a board of one view; whether the rod is taken for the board's."""
    rng = np.random.default_rng(0)
    rod = rng.uniform([0, 0, 0], [width, width, length], (count, 3))
    board = rng.uniform([-0.4, -0.4, length + gap], [0.4, 0.4, length + gap + 0.05], (400, 3))
    votes = ballot([0, 0], np.zeros((2, 2), int), rgb=[(100, 0, 0), colour])
    owner = np.repeat([0, 1], [count, 400])
    samples = Samples(np.concatenate([rod, board]), np.zeros((count + 400, 3)), owner, 2)
    votes = dataclasses.replace(
        votes, views=(dataclasses.replace(votes.views[0], samples=samples),)
    )
    groups = attach_limbs(votes, np.array([0, 1]))
    return groups[0] == groups[1]


def test_a_limb_is_thin_long_near_and_of_the_same_colour():
    assert rods(0.05, 0.6, 0.02)
    assert not rods(0.16, 0.6, 0.02)  # thicker than 12 cm
    assert not rods(0.1, 0.15, 0.02)  # not twice as long as thick
    assert not rods(0.05, 0.6, 0.15)  # farther than 10 cm
    assert not rods(0.05, 0.6, 0.02, (100, 14, 0))  # 0.14 rad of colour
    assert rods(0.05, 0.6, 0.02, (100, 10, 0))
    assert not rods(0.05, 0.6, 0.02, (10, 0, 0))  # brightness of a tenth
    assert not rods(0.05, 0.6, 0.02, count=7)
