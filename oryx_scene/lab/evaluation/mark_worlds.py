"""Conditions under which marks are measured, and the scenes of each.

A scene is a world, a rig and a number of views that follow from its seed, and frames spoilt as the
condition says. There are two generators of worlds: the solids of `synth` (split "test", which no
training ever saw), on which the finder is developed, and the meshes of `mesh_worlds`, which are for
judging only: nothing is tuned on them.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field

import numpy as np

from oryx_scene.errors import ConfigError
from oryx_scene.lab.evaluation.mark_scores import VISIBLE_SHARE
from oryx_scene.lab.evaluation.mesh_worlds.cameras import PATHS, take_poses
from oryx_scene.lab.evaluation.mesh_worlds.render import RayScene, render_room
from oryx_scene.lab.evaluation.mesh_worlds.rooms import MeshRoom, MeshRoomConfig, make_room
from oryx_scene.lab.synth.noise import NoiseConfig, spoil
from oryx_scene.lab.synth.render import render_views
from oryx_scene.lab.synth.rigs import RIGS, RigConfig, make_poses
from oryx_scene.lab.synth.world import World, WorldConfig, make_world
from oryx_scene.records import Frame, ViewSet

# Scenes of one condition are numbered from here on, away from those that other uses count from 0.
FIRST_SEED = 40_000
SEPARATED = WorldConfig(split="test", touching=0.0, stacked=0.0)
CLUTTER = WorldConfig(split="test", objects=(4, 8), touching=0.6, stacked=0.2, table=0.3)
# Cameras without depth are judged on pictures that one hand takes every second.
HAND = ("handheld",)
ROUGH = NoiseConfig(depth_share=0.01, turn_deg=1.0, shift_m=0.02, holes=0.05)


@dataclass(frozen=True)
class Goals:
    """Least values wanted; 0 where only reported."""

    precision: float = 0.0
    recall: float = 0.0
    on_object: float = 0.0


@dataclass(frozen=True)
class MarkCondition:
    """What scenes look like.

    Attributes:
        name: short.
        world: its things, and with them the generator.
        noise: what is wrong with frames.
        goals: least values.
        views: fewest and most.
        rigs: kinds drawn from.
        depth, poses: whether the finder is given them.
        visible_share: share of a picture from which on a thing counts as shown.
    """

    name: str
    world: WorldConfig | MeshRoomConfig
    noise: NoiseConfig = field(default_factory=NoiseConfig)
    goals: Goals = field(default_factory=Goals)
    views: tuple[int, int] = (4, 16)
    rigs: tuple[str, ...] = RIGS
    depth: bool = True
    poses: bool = True
    visible_share: float = VISIBLE_SHARE


CONDITIONS = {
    item.name: item
    for item in (
        MarkCondition("clean", SEPARATED, goals=Goals(0.99, 0.93, 0.995)),
        MarkCondition("noisy", SEPARATED, ROUGH, Goals(0.97, 0.85)),
        MarkCondition("touching", CLUTTER, goals=Goals(0.95)),
        MarkCondition("touching_noisy", CLUTTER, ROUGH),
        MarkCondition("rgb", SEPARATED, goals=Goals(0.9), rigs=HAND, depth=False),
        MarkCondition("rgb_noisy", SEPARATED, ROUGH, Goals(0.9), rigs=HAND, depth=False),
        MarkCondition(
            "rgb_no_poses", SEPARATED, goals=Goals(0.9), rigs=HAND, depth=False, poses=False
        ),
    )
}

APART = MeshRoomConfig()
CROWDED = MeshRoomConfig(objects=(5, 8), touching=0.6, stacked=0.2)
# Eight views each; a thing counts from about the size on that its number has.
MESH_CONDITIONS = {
    item.name: dataclasses.replace(item, views=(8, 8), visible_share=0.0015)
    for item in (
        MarkCondition("clean", APART, goals=Goals(0.99, 0.93), rigs=PATHS),
        MarkCondition("noisy", APART, ROUGH, Goals(0.97, 0.88), rigs=PATHS),
        MarkCondition("touching", CROWDED, goals=Goals(0.97, 0.88), rigs=PATHS),
        MarkCondition("rgb", APART, goals=Goals(0.95, 0.85), rigs=("walk",), depth=False),
        MarkCondition(
            *("rgb_no_poses", APART),
            goals=Goals(0.95, 0.6),
            rigs=("walk",),
            depth=False,
            poses=False,
        ),
    )
}
# Generator -> its conditions and the usual (height, width) of its pictures.
WORLDS = {"solids": (CONDITIONS, (240, 320)), "meshes": (MESH_CONDITIONS, (480, 640))}


def scaled(noise: NoiseConfig, factor: float) -> NoiseConfig:
    """``factor`` times as much of everything."""
    return NoiseConfig(
        depth_share=noise.depth_share * factor,
        depth_quadratic=noise.depth_quadratic * factor,
        depth_blur_px=noise.depth_blur_px,
        holes=min(noise.holes * factor, 0.9),
        turn_deg=noise.turn_deg * factor,
        shift_m=noise.shift_m * factor,
        skew_s=noise.skew_s * factor,
        missing=min(noise.missing * factor, 0.9),
    )


@dataclass(frozen=True, eq=False)
class MarkScene:
    """One scene to judge.

    Attributes:
        world: its truth.
        rig: the kind of its rig.
        views: frames as a robot would have them.
        true_views: the same frames with true depth and poses.
    """

    world: World | MeshRoom
    rig: str
    views: ViewSet
    true_views: ViewSet

    @property
    def places(self) -> dict[int, tuple[float, float, float]]:
        """True middles of the objects."""
        return {thing.object_id: thing.position for thing in self.world.objects}

    @property
    def fittings(self) -> frozenset[int]:
        """True ids of windows, doors and the like, which may have a number and need none."""
        return self.world.fittings if isinstance(self.world, MeshRoom) else frozenset()


def make_scene(
    condition: MarkCondition, index: int, size: tuple[int, int] = (240, 320)
) -> MarkScene:
    """Scene ``index`` of a condition.

    Args:
        condition: what it looks like.
        index: from 0.
        size: (height, width) of the pictures.

    Raises:
        ConfigError: a negative index.
        MissingExtraError: a room of meshes without Open3D.
    """
    if index < 0:
        raise ConfigError(f"scenes are numbered from 0, got {index}.")
    seed = FIRST_SEED + index
    rng = np.random.default_rng(seed)
    rig = str(rng.choice(condition.rigs))
    count = int(rng.integers(condition.views[0], condition.views[1] + 1))
    world, true = _rendered(condition.world, seed, rig, count, size)
    spoilt = [_given(frame, condition) for frame in spoil(true, condition.noise, seed)]
    kept: dict[tuple[str, int], Frame] = {(f.camera, f.stamp_ns): f for f in true}
    return MarkScene(
        world,
        rig,
        ViewSet(tuple(spoilt)),
        ViewSet(tuple(kept[frame.camera, frame.stamp_ns] for frame in spoilt)),
    )


def _rendered(
    config: WorldConfig | MeshRoomConfig, seed: int, rig: str, count: int, size: tuple[int, int]
) -> tuple[World | MeshRoom, list[Frame]]:
    """The world of a seed and its true frames."""
    if isinstance(config, MeshRoomConfig):
        room = make_room(seed, config)
        rays = RayScene.of(room)
        return room, render_room(room, rays, take_poses(room, rays, rig, count, size))
    world = make_world(seed, config)
    poses = make_poses(world, RigConfig(rig, count, size[0], size[1]))
    return world, render_views(world, poses)


def _given(frame: Frame, condition: MarkCondition) -> Frame:
    """The frame without what the condition keeps back."""
    if not condition.depth:
        frame = dataclasses.replace(frame, depth=None, depth_sha256="")
    if not condition.poses:
        frame = dataclasses.replace(frame, T_fixed_camera=None, fixed_frame="")
    return frame
