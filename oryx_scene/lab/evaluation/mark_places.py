"""Measuring where marks are said to be, over the distance between cameras and the poses' noise.

Four pictures of an unseen room are taken along a straight line of a given length, all towards the
things; the poses that the finder gets are wrong as stated. Judged is whether the true middle of the
object under a mark lies within the covariance that the mark states, and whether places are pulled
towards the cameras or away.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from oryx_scene.config import MarksConfig
from oryx_scene.lab.evaluation.mark_worlds import SEPARATED
from oryx_scene.lab.synth.noise import NoiseConfig, spoil
from oryx_scene.lab.synth.render import CameraPose, render_views
from oryx_scene.lab.synth.rigs import START_NS, RigConfig, clearance, look_at, pinhole
from oryx_scene.lab.synth.true_marks import objects_under
from oryx_scene.lab.synth.world import World, make_world
from oryx_scene.marks.finder import find_marks
from oryx_scene.marks.places import covariance_of
from oryx_scene.records import FloatArray, Frame, ViewSet

FIRST_SEED = 80_000
BASELINES_M = (0.0, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0)
# Root mean square shift (m) and standard deviation of the turn (degrees) of poses.
POSES = ((0.0, 0.0), (0.002, 0.1), (0.02, 1.0))
ROUTES = ("depth", "rgb")
VIEWS = 4
# Of depth, as a share of z; and of grey values.
DEPTH_NOISE, GREY_NOISE = 0.005, 2.0
# Within so many stated standard deviations (Mahalanobis) 95 % of true places must lie.
SIGMAS = 2.0


@dataclass
class PlaceCounts:
    """Places of one route, baseline and pose noise.

    Attributes:
        marks: alone on a true object, with or without a place.
        pieces: marks on parts of objects that have several: what middle they mean is not known.
        mahalanobis: distance of each true middle, stated standard deviations.
        along: signed error of each along its mean ray, stated standard deviations; below 0 where
            the place is nearer to the cameras than the thing.
        std_m: stated standard deviation along that ray.
    """

    marks: int = 0
    pieces: int = 0
    mahalanobis: list[float] = field(default_factory=list)
    along: list[float] = field(default_factory=list)
    std_m: list[float] = field(default_factory=list)

    def as_dict(self) -> dict[str, Any]:
        """For the report; null where no place was stated."""
        stated = len(self.mahalanobis)
        if not stated:
            return {"marks": self.marks, "pieces": self.pieces, "placed": 0}
        return {
            "marks": self.marks,
            "pieces": self.pieces,
            "placed": stated,
            "within_2_sigma": float(np.mean(np.array(self.mahalanobis) <= SIGMAS)),
            "median_along_sigma": float(np.median(self.along)),
            "median_std_along_m": float(np.median(self.std_m)),
        }


Key = tuple[str, tuple[float, float], float]


def measure_places(
    scenes: Iterable[int],
    routes: Iterable[str] = ROUTES,
    baselines: Iterable[float] = BASELINES_M,
    poses: Iterable[tuple[float, float]] = POSES,
    on_scene: Callable[[int], None] | None = None,
) -> dict[Key, PlaceCounts]:
    """Counts by route, pose noise and baseline."""
    counts: dict[Key, PlaceCounts] = {}
    keys = list(itertools.product(routes, poses))
    for index in scenes:
        for baseline in baselines:
            world, true = make_line(index, baseline)
            for route, noise in keys:
                seen = given(true, route, noise, FIRST_SEED + index)
                judge_places(
                    counts.setdefault((route, noise, baseline), PlaceCounts()), world, seen
                )
        if on_scene is not None:
            on_scene(index)
    return counts


def make_line(
    index: int, baseline: float, size: tuple[int, int] = (240, 320)
) -> tuple[World, list[Frame]]:
    """World ``index`` and true frames from places on a line of ``baseline`` metres."""
    world = make_world(FIRST_SEED + index, SEPARATED)
    rng = np.random.default_rng([FIRST_SEED, index])
    target = np.mean([body.centre for body in world.bodies], axis=0)
    eye, along = _free_line(world, target, rng)
    config = RigConfig("handheld", VIEWS, size[0], size[1])
    lens = pinhole(config, 0.9)
    places = [eye + along * share * baseline for share in np.linspace(-0.5, 0.5, VIEWS)]
    cameras = [
        CameraPose("hand", START_NS + i * 10**9, lens, look_at(place, target))
        for i, place in enumerate(places)
    ]
    return world, render_views(world, cameras)


def _free_line(
    world: World, target: FloatArray, rng: np.random.Generator
) -> tuple[FloatArray, FloatArray]:
    """Middle and level direction of the line that keeps furthest from things and walls."""
    best, most = None, -np.inf
    for _ in range(60):
        angle, away = rng.uniform(0, 2 * np.pi), rng.uniform(1.6, 3.2)
        ahead = np.array([np.cos(angle), np.sin(angle), 0.0])
        eye = target + away * ahead
        eye[2] = rng.uniform(0.9, 1.7)
        along = np.array([-ahead[1], ahead[0], 0.0])
        ends = [eye + along * share * max(BASELINES_M) for share in (-0.5, 0.0, 0.5)]
        room = min(
            float(min((end[:2] - world.room.low[:2]).min(), (world.room.high[:2] - end[:2]).min()))
            for end in ends
        )
        free = min(room, 0.4) + min(0.4, *(clearance(world, end) for end in ends))
        if free > most:
            best, most = (eye, along), free
    assert best is not None
    return best


def given(true: list[Frame], route: str, noise: tuple[float, float], seed: int) -> ViewSet:
    """The frames as the finder gets them: noisy, with poses that say how wrong they are."""
    shift, turn = noise
    spoilt = spoil(true, NoiseConfig(DEPTH_NOISE, shift_m=shift, turn_deg=turn), seed)
    frames = []
    for index, frame in enumerate(spoilt):
        rng = np.random.default_rng([seed, index])
        rgb = np.clip(frame.rgb + rng.normal(0, GREY_NOISE, frame.rgb.shape), 0, 255)
        own = dataclasses.replace(
            frame, rgb=rgb.astype(np.uint8), pose_std=(shift, float(np.radians(turn)))
        )
        blind = dataclasses.replace(own, depth=None, depth_sha256="")
        frames.append(blind if route == "rgb" else own)
    return ViewSet(tuple(frames))


def judge_places(counts: PlaceCounts, world: World, views: ViewSet) -> None:
    """Add the marks of one scene."""
    marks = find_marks(views, MarksConfig())
    true = {thing.object_id: np.array(thing.position) for thing in world.objects}
    owners = objects_under(views, marks)
    carriers = Counter(owners.values())
    for mark in marks.marks:
        middle = true.get(owners[mark.number])
        if middle is None:
            continue
        if carriers[owners[mark.number]] > 1:
            counts.pieces += 1
            continue
        counts.marks += 1
        if mark.position is None:
            continue
        covariance, off = covariance_of(mark), np.array(mark.position) - middle
        poses = [views.frames[seen.view].T_fixed_camera for seen in mark.observations]
        away = np.array(mark.position) - np.mean([T[:3, 3] for T in poses if T is not None], axis=0)
        ray = away / np.linalg.norm(away)
        std = float(np.sqrt(ray @ covariance @ ray))
        counts.mahalanobis.append(float(np.sqrt(off @ np.linalg.solve(covariance, off))))
        counts.along.append(float(off @ ray) / std)
        counts.std_m.append(std)
