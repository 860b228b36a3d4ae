"""Patches of several views become one object, or do not: exact cases."""

import numpy as np
import pytest

from oryx_scene.marks.depth.linking import NOTHING_THERE, doubt, group_patches
from oryx_scene.marks.depth.reprojection_votes import CutView, ReprojectionVotes, Samples
from oryx_scene.marks.depth.segments import Patches
from oryx_scene.marks.depth.thin_parts import attach_limbs, parts


def view(rgb, points=None, creased=False):
    """A cut view with one patch per colour; only what grouping looks at is there."""
    count = len(rgb)
    between = np.full((count, count), creased)
    patches = Patches(None, count, np.full(count, 50), np.array(rgb, np.float32), between)
    parts = points or [np.zeros((10, 3)) for _ in rgb]
    owner = np.repeat(np.arange(count), [len(part) for part in parts])
    samples = Samples(np.concatenate(parts), np.zeros((len(owner), 3)), owner, count)
    return CutView(0, 0, None, np.eye(4), "map", None, patches, samples, 0)


def ballot(views, onto, through=None):
    counts = [item.patches.count for item in views]
    first = np.concatenate([[0], np.cumsum(counts)])
    total, node_view = int(first[-1]), np.repeat(np.arange(len(views)), counts)
    nothing = np.zeros((total, len(views)), np.int64)
    seen = np.stack([np.array(onto)[:, node_view == v].sum(axis=1) for v in range(len(views))], 1)
    seen = seen if through is None else seen + through
    return ReprojectionVotes(
        tuple(views), node_view, np.arange(total) - first[node_view], first, np.full(total, 10),
        np.array(onto), seen, nothing, nothing if through is None else np.array(through), {},
    )  # fmt: skip


def turned(angle):
    """A colour whose direction from black is ``angle`` away from that of (100, 0, 0)."""
    return (100 * np.cos(angle), 100 * np.sin(angle), 0.0)


@pytest.mark.parametrize(("angle", "one"), [(0.11, True), (0.13, False)])
def test_colours_of_one_object_in_two_views_differ_by_at_most_0_12_rad(angle, one):
    votes = [[0, 10], [10, 0]]
    groups = group_patches(ballot([view([turned(0.0)]), view([turned(angle)])], votes))
    assert (groups[0] == groups[1]) == one


@pytest.mark.parametrize(("creased", "joined"), [(False, True), (True, False)])
def test_a_leg_belongs_to_what_it_touches_unless_a_crease_parts_them(creased, joined):
    rng = np.random.default_rng(0)
    leg = rng.uniform([0, 0, 0], [0.03, 0.03, 0.6], (60, 3))
    top = rng.uniform([-0.4, -0.4, 0.6], [0.4, 0.4, 0.65], (200, 3))
    one = view([turned(0.0), turned(0.0)], [leg, top], creased)
    groups = attach_limbs(ballot([one], np.zeros((2, 2), int)), np.array([0, 1]))
    assert (groups[0] == groups[1]) == joined


def test_a_part_that_few_views_show_apart_gets_no_number_of_its_own():
    near, far = np.zeros((10, 3)), np.full((10, 3), 0.5)
    red, blue = turned(0.0), turned(1.0)
    first = view([red, red, red, blue], [near, near + 0.05, far, near + 0.05])
    views = [first, *(view([red]) for _ in range(3))]
    whole, part, away, other = np.array([0, 4, 5, 6]), np.array([1]), np.array([2]), np.array([3])
    votes = ballot(views, np.zeros((7, 7), int))
    assert parts(votes, [whole, part, away, other]) == {1}
    # Of three views one is more than a quarter.
    assert parts(votes, [whole[:3], part]) == set()


def test_what_several_views_show_is_there_though_they_look_through_its_shifted_points():
    """Wrong poses shift a thing; one view alone against others is not believed."""
    views = [view([turned(0.0)]) for _ in range(3)]
    onto, through = np.zeros((3, 3), int), [[0, 9, 0], [9, 0, 0], [0, 0, 0]]
    shifted = ballot(views, onto, through)
    assert doubt(shifted, np.array([0, 1])) == ""
    assert doubt(shifted, np.array([0])) == NOTHING_THERE
    outside = ballot(views, onto, [[0, 0, 9], [0, 0, 9], [0, 0, 0]])
    assert doubt(outside, np.array([0, 1])) == NOTHING_THERE
