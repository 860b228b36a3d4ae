"""The instance map: numbers that stay, are never given twice, and bounds that hold."""

import dataclasses
from collections import defaultdict

import numpy as np
import pytest

from oryx_scene.config import MarksConfig
from oryx_scene.errors import ConfigError
from oryx_scene.lab.evaluation.mark_scores import _owner
from oryx_scene.lab.evaluation.mark_worlds import SEPARATED
from oryx_scene.lab.synth.render import render_views
from oryx_scene.lab.synth.rigs import RigConfig, make_poses
from oryx_scene.lab.synth.world import make_world
from oryx_scene.marks.instance_map.map import InstanceMap, MapConfig
from oryx_scene.records import ViewSet

MARKS = MarksConfig()


@pytest.fixture(scope="module")
def walk():
    world = make_world(70_004, SEPARATED)
    config = RigConfig("handheld", 20, 120, 160, interval_s=0.3)
    return render_views(world, make_poses(world, config))


def main_numbers(marks, views):
    """True object -> the number with most discs on it."""
    discs = defaultdict(dict)
    for mark in marks.marks:
        owner = _owner(mark, views)
        if owner:
            discs[owner][mark.number] = len(mark.observations)
    return {owner: max(found, key=lambda n: (found[n], -n)) for owner, found in discs.items()}


def test_an_object_keeps_its_number_and_no_other_gets_it(walk):
    kept, owners = {}, defaultdict(set)
    seen = InstanceMap()
    for index, frame in enumerate(walk):
        assert seen.observe(frame)
        if index % 5 == 4:
            views = ViewSet(tuple(walk[max(0, index - 5) : index + 1]))
            marks = seen(views, MARKS, "")
            for owner, number in main_numbers(marks, views).items():
                assert kept.setdefault(owner, number) == number
            for mark in marks.marks:
                owners[mark.number].add(_owner(mark, views))
    assert len(kept) >= 3
    assert all(len(found) == 1 for found in owners.values())


def test_the_order_of_the_frozen_views_does_not_matter(walk):
    found = []
    for step in (1, -1):
        seen = InstanceMap()
        for frame in walk[:8]:
            seen.observe(frame)
        views = tuple(walk[2:10])[::step]
        marks = seen(ViewSet(views), MARKS, "")
        found.append(
            {
                (m.number, views[o.view].stamp_ns, o.u, o.v)
                for m in marks.marks
                for o in m.observations
            }
        )
    assert found[0] == found[1] and found[0]


def test_a_number_is_not_given_again_after_its_object_is_gone(walk):
    seen = InstanceMap(MapConfig(forget_s=1.0))
    first = seen(ViewSet(tuple(walk[:2])), MARKS, "")
    later = [dataclasses.replace(f, stamp_ns=f.stamp_ns + 60 * 10**9) for f in walk[:2]]
    second = seen(ViewSet(tuple(later)), MARKS, "")
    numbers = [{m.number for m in marks.marks} for marks in (first, second)]
    assert numbers[0] and numbers[1]
    assert not numbers[0] & numbers[1]
    seen.reset()
    assert {m.number for m in seen(ViewSet(tuple(walk[:2])), MARKS, "").marks} == numbers[0]


def test_numbering_begins_anew_before_numbers_outgrow_the_disc(walk):
    seen = InstanceMap(MapConfig(forget_s=1.0))
    warned = False
    for turn in range(60):
        shift = turn * 60 * 10**9
        frames = [dataclasses.replace(f, stamp_ns=f.stamp_ns + shift) for f in walk[:1]]
        marks = seen(ViewSet(tuple(frames)), MARKS, "")
        assert all(1 <= mark.number <= 99 for mark in marks.marks)
        warned |= any("anew" in text.text for text in marks.warnings)
    assert warned


def test_a_moved_object_is_dropped_where_views_look_through_it(walk):
    seen = InstanceMap()
    for frame in walk[:4]:
        seen.observe(frame)
    before = seen.size["things"]
    empty = dataclasses.replace(make_world(70_004, SEPARATED), solids=(), bodies=())
    world = make_world(70_004, SEPARATED)
    poses = make_poses(world, RigConfig("handheld", 8, 120, 160, interval_s=0.3))
    for frame in render_views(empty, poses):
        seen.observe(dataclasses.replace(frame, stamp_ns=frame.stamp_ns + 10**10))
    assert seen.size["things"] < before / 2


def test_what_is_held_is_bounded(walk):
    seen = InstanceMap(MapConfig(max_things=5, max_views=3))
    for frame in walk:
        seen.observe(frame)
        assert seen.size["things"] <= 5 and seen.size["views"] <= 3


def test_frames_without_depth_are_not_taken_in(walk):
    seen = InstanceMap()
    assert not seen.observe(dataclasses.replace(walk[0], depth=None))
    assert seen.size == {"things": 0, "views": 0, "numbers": 0}


def test_nan_poses_and_depth_do_no_harm(walk):
    seen = InstanceMap()
    bad = dataclasses.replace(walk[0], depth=np.full_like(walk[0].depth, np.nan))
    assert seen.observe(bad)
    assert seen(ViewSet((bad,)), MARKS, "").marks == ()


@pytest.mark.parametrize("values", [{"max_things": 0}, {"forget_s": 0.0}, {"max_views": 0}])
def test_bounds_out_of_range_are_refused(values):
    with pytest.raises(ConfigError, match="map"):
        MapConfig(**values)


def test_the_map_cuts_views_by_the_settings_of_the_moment(walk):
    near = dataclasses.replace(MARKS, max_range_m=0.2)
    frame = walk[0]
    seen = InstanceMap()
    assert seen.observe(frame, near)
    assert seen.size["things"] == 0
    seen.reset()
    assert seen.observe(frame, MARKS)
    assert seen.size["things"] > 0
