"""Worlds in which something changes: one or two things are taken away or put there.

A world holds all its things, early and late ones; what is there at a time is a world of its own
with the same ids. Cameras see the early world first and the late one after it.
"""

from __future__ import annotations

import dataclasses

import numpy as np

from oryx_scene.lab.synth.placement import Body, far_enough
from oryx_scene.lab.synth.render import CameraPose, render_views
from oryx_scene.lab.synth.rigs import RigConfig, make_poses
from oryx_scene.lab.synth.words import SPLITS
from oryx_scene.lab.synth.world import World
from oryx_scene.records import Frame

# A rig whose pictures are of one instant comes back after this time.
LATER_NS = 20_000_000_000
MOST_CHANGES = 2


def stands_alone(world: World, object_id: int) -> bool:
    """On the floor, with nothing on it."""
    body = world.bodies[object_id - 1]
    others = [b for b in world.bodies if b is not body and b.bottom > 1e-6]
    return body.bottom < 1e-6 and far_enough(body, others, 0.0)


def without(world: World, object_id: int) -> World:
    """The world without one of its things; the ids of the others stay."""
    gone = world.bodies[object_id - 1]
    return dataclasses.replace(
        world,
        solids=tuple(solid for solid in world.solids if solid.object_id != object_id),
        bodies=tuple(_sunk(body) if body is gone else body for body in world.bodies),
    )


def _sunk(body: Body) -> Body:
    """Far away, so that it throws no shadow; its index, which is the true id, stays."""
    return dataclasses.replace(body, centre=body.centre - np.array([0.0, 0.0, 100.0]))


def draw_changes(world: World) -> World:
    """The world with one or two things named as gone or new, by its seed; at least one stays."""
    rng = np.random.default_rng([SPLITS[world.config.split], world.seed, 5])
    free = [i for i in range(1, len(world.bodies) + 1) if stands_alone(world, i)]
    most = min(MOST_CHANGES, len(world.bodies) - 1)
    chosen = rng.permutation(free)[: int(rng.integers(1, MOST_CHANGES + 1))][: max(most, 0)]
    goes = rng.random(len(chosen)) < 0.5
    return dataclasses.replace(
        world,
        gone=frozenset(int(i) for i in chosen[goes]),
        new=frozenset(int(i) for i in chosen[~goes]),
    )


def at_time(world: World, stamp_ns: int) -> World:
    """What is there at ``stamp_ns``."""
    absent = world.gone if stamp_ns >= world.changed_ns else world.new
    for object_id in sorted(absent):
        world = without(world, object_id)
    return world


def two_times(world: World, rig: RigConfig) -> tuple[list[CameraPose], int]:
    """Pictures of two times, and the stamp of the first late one.

    A rig that moves sees the change half-way; one whose pictures are of one instant has half as
    many cameras and comes back later.
    """
    poses = make_poses(world, rig)
    stamps = sorted(pose.stamp_ns for pose in poses)
    if stamps[0] == stamps[-1]:
        few = dataclasses.replace(rig, views=(rig.views + 1) // 2)
        poses = make_poses(world, few)
        again = [dataclasses.replace(p, stamp_ns=p.stamp_ns + LATER_NS) for p in poses]
        return [*poses, *again[: rig.views - few.views]], stamps[0] + LATER_NS
    middle = stamps[(len(stamps) - 1) // 2]
    return poses, min(stamp for stamp in stamps if stamp > middle)


def render_changed(world: World, rig: RigConfig) -> tuple[World, list[Frame]]:
    """The world with its changes drawn, and its pictures of two times."""
    poses, changed_ns = two_times(world, rig)
    changed = dataclasses.replace(draw_changes(world), changed_ns=changed_ns)
    times = {stamp_ns: at_time(changed, stamp_ns) for stamp_ns in {p.stamp_ns for p in poses}}
    return changed, [frame for p in poses for frame in render_views(times[p.stamp_ns], [p])]
