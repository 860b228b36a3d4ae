"""Worlds in which things come and go: early and late pictures, and what is true about them."""

import dataclasses

import numpy as np
import pytest

from oryx_scene.lab.synth.changes import at_time, draw_changes
from oryx_scene.lab.synth.scenes import SceneSpec, render_spec
from oryx_scene.lab.synth.true_marks import objects_under, true_marks
from oryx_scene.lab.synth.true_sightings import true_changes
from oryx_scene.lab.synth.world import make_world
from oryx_scene.records import Changes, ViewSet


def ids(frames):
    return set(np.unique(np.concatenate([frame.labels.ravel() for frame in frames]))) - {0}


@pytest.mark.parametrize(
    ("rig", "count"), [("ring", 5), ("surround", 4), ("stereo", 6), ("handheld", 4)]
)
def test_early_pictures_lack_what_comes_and_late_ones_what_went(rig, count):
    happened = 0
    for seed in range(4):
        world, frames = render_spec(SceneSpec(seed, "test", rig, count, 48, 64, changed=True))
        assert len(frames) == count and len(world.gone | world.new) in (1, 2)
        early = [frame for frame in frames if frame.stamp_ns < world.changed_ns]
        late = [frame for frame in frames if frame.stamp_ns >= world.changed_ns]
        assert early and late
        assert not ids(early) & world.new and not ids(late) & world.gone
        happened += len(ids(early) & world.gone) + len(ids(late) & world.new)
    assert happened >= 3


def test_changes_follow_the_seed_and_leave_something():
    for seed in range(20):
        world = draw_changes(make_world(seed))
        again = draw_changes(make_world(seed))
        assert (world.gone, world.new) == (again.gone, again.new)
        assert not world.gone & world.new
        assert len(world.gone | world.new) < len(world.objects)
    world = dataclasses.replace(world, gone=frozenset({1}), new=frozenset(), changed_ns=5)
    assert {solid.object_id for solid in world.solids} >= {1}
    assert 1 not in {solid.object_id for solid in at_time(world, 5).solids}
    assert 1 in {solid.object_id for solid in at_time(world, 4).solids}


def test_true_changes_are_those_that_views_could_tell():
    spec = SceneSpec(5, "train", "handheld", 8, changed=True)
    world, frames = render_spec(spec)
    views = ViewSet(tuple(frames))
    objects = objects_under(views, true_marks(views, world.truth))
    number = {thing: n for n, thing in objects.items()}
    told = true_changes(objects, views, world)
    assert told == Changes(
        tuple(sorted(number[i] for i in world.gone)), tuple(sorted(number[i] for i in world.new))
    )
    (gone,) = world.gone
    # Nobody looks there afterwards: that it is gone cannot be known.
    early = ViewSet(tuple(f for f in frames if f.stamp_ns < world.changed_ns))
    assert true_changes({1: gone}, early, world) == Changes()
    assert true_changes({1: gone}, ViewSet(early.frames[:1]), world) is None
