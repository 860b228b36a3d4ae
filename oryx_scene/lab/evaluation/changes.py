"""Measuring "what changed" on pairs of synthetic scenes between which things came, went and moved.

Both scenes of a pair are seen from different places, so that nothing can be read off by comparing
pictures. True ids under the marks judge the result; the finder never sees them.
"""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from oryx_scene.config import COMPARED_MARKS, MarksConfig
from oryx_scene.lab.evaluation.mark_worlds import SEPARATED
from oryx_scene.lab.synth.changes import stands_alone, without
from oryx_scene.lab.synth.noise import NoiseConfig, spoil
from oryx_scene.lab.synth.placement import far_enough
from oryx_scene.lab.synth.render import render_views
from oryx_scene.lab.synth.rigs import RigConfig, make_poses
from oryx_scene.lab.synth.world import World, make_world
from oryx_scene.marks.change.changed import SceneChanges, what_changed
from oryx_scene.marks.finder import find_marks
from oryx_scene.records import FloatArray, Mark, MarkSet, ViewSet

FIRST_SEED = 60_000
EVENTS = ("appeared", "disappeared", "moved")
# An event counts as seen if its object fills this share of some picture of its scene.
SEEN_SHARE = 0.004
_VIEWS = 8
_GAP_M = 0.1
_MOVE_M = (0.2, 1.2)


@dataclass(frozen=True, eq=False)
class ScenePair:
    """Two scenes and what is true about their difference (true ids)."""

    before: ViewSet
    after: ViewSet
    appeared: frozenset[int]
    disappeared: frozenset[int]
    moved: frozenset[int]


@dataclass
class ChangeCounts:
    """Sums over pairs, per event.

    Attributes:
        pairs: how many.
        right, false, missed: reported events that happened, that did not, and that happened to an
            object seen well in the scene that shows it but were not reported.
        unchanged: marks on objects that did not change, both scenes.
        undecided: marks about which nothing was said.
    """

    pairs: int = 0
    right: Counter[str] = field(default_factory=Counter)
    false: Counter[str] = field(default_factory=Counter)
    missed: Counter[str] = field(default_factory=Counter)
    unchanged: int = 0
    undecided: int = 0

    def as_dict(self) -> dict[str, Any]:
        """For the JSON report; null where nothing was reported or nothing happened."""
        found: dict[str, Any] = {"pairs": self.pairs}
        for event in EVENTS:
            right, false, missed = self.right[event], self.false[event], self.missed[event]
            found[event] = {
                "precision": right / (right + false) if right + false else None,
                "recall": right / (right + missed) if right + missed else None,
                "right": right,
                "false": false,
                "missed": missed,
            }
        return {**found, "unchanged_marks": self.unchanged, "undecided_marks": self.undecided}


def make_pair(
    index: int, noise: NoiseConfig | None = None, size: tuple[int, int] = (240, 320)
) -> ScenePair:
    """Pair ``index``: up to three of a world's things appear, disappear or move.

    Args:
        index: from 0.
        noise: of the frames of both scenes.
        size: (height, width) of the pictures.
    """
    seed = FIRST_SEED + index
    rng = np.random.default_rng(seed)
    world = make_world(seed, dataclasses.replace(SEPARATED, objects=(4, 8)))
    events: dict[str, set[int]] = {event: set() for event in EVENTS}
    before = after = world
    free = [i for i, body in enumerate(world.bodies, 1) if stands_alone(world, i)]
    for object_id in rng.permutation(free)[: int(rng.integers(0, 4))]:
        event = str(rng.choice(EVENTS))
        if event == "appeared":
            before = without(before, int(object_id))
        elif event == "disappeared":
            after = without(after, int(object_id))
        else:
            target = _moved(world, after, int(object_id), rng)
            if target is None:
                continue
            after = target
        events[event].add(int(object_id))
    poses = make_poses(world, RigConfig("ring", _VIEWS, size[0], size[1]))
    views = [
        ViewSet(tuple(spoil(render_views(scene, part), noise or NoiseConfig(), seed + k)))
        for k, (scene, part) in enumerate(((before, poses[::2]), (after, poses[1::2])))
    ]
    return ScenePair(views[0], views[1], *(frozenset(events[event]) for event in EVENTS))


def _moved(world: World, current: World, object_id: int, rng: np.random.Generator) -> World | None:
    """``current`` with one thing elsewhere on the floor, None where there is no room."""
    body = current.bodies[object_id - 1]
    others = [
        other
        for scene in (world, current)
        for i, other in enumerate(scene.bodies, 1)
        if i != object_id and other.centre[2] > -50
    ]
    reach = world.config.spread_m
    for _ in range(200):
        angle, length = rng.uniform(0, 2 * np.pi), rng.uniform(*_MOVE_M)
        offset = length * np.array([np.cos(angle), np.sin(angle), 0.0])
        target = dataclasses.replace(body, centre=body.centre + offset)
        if np.abs(target.centre[:2]).max() <= reach and far_enough(target, others, _GAP_M):
            return _shifted(current, object_id, offset, target)
    return None


def _shifted(world: World, object_id: int, offset: FloatArray, target: Any) -> World:
    return dataclasses.replace(
        world,
        solids=tuple(
            dataclasses.replace(solid, centre=solid.centre + offset)
            if solid.object_id == object_id
            else solid
            for solid in world.solids
        ),
        bodies=tuple(target if i == object_id else body for i, body in enumerate(world.bodies, 1)),
    )


def judge_pair(
    pair: ScenePair, changes: SceneChanges, before: MarkSet, after: MarkSet
) -> ChangeCounts:
    """Counts of one pair."""
    counts = ChangeCounts(pairs=1)
    said = {
        "appeared": [_true_id(mark, pair.after) for mark in changes.appeared],
        "disappeared": [_true_id(mark, pair.before) for mark in changes.disappeared],
        "moved": [
            _true_id(item.before, pair.before)
            if _true_id(item.before, pair.before) == _true_id(item.after, pair.after)
            else 0
            for item in changes.moved
        ],
    }
    happened = {
        "appeared": pair.appeared & _well_seen(pair.after),
        "disappeared": pair.disappeared & _well_seen(pair.before),
        "moved": pair.moved & _well_seen(pair.before) & _well_seen(pair.after),
    }
    for event in EVENTS:
        truth = getattr(pair, event)
        counts.right[event] = len(truth.intersection(said[event]))
        counts.false[event] = sum(i not in truth for i in said[event])
        counts.missed[event] = len(happened[event].difference(said[event]))
    touched = pair.appeared | pair.disappeared | pair.moved
    for marks, views in ((before, pair.before), (after, pair.after)):
        counts.unchanged += sum(_true_id(mark, views) not in touched for mark in marks.marks)
    counts.undecided = sum(changes.unknown.values())
    return counts


def _true_id(mark: Mark, views: ViewSet) -> int:
    """The true id under most of the mark's discs, 0 for none."""
    ids = []
    for seen in mark.observations:
        labels = views.frames[seen.view].labels
        if labels is not None:
            ids.append(int(labels[round(seen.v), round(seen.u)]))
    return Counter(ids).most_common(1)[0][0] if ids else 0


def _well_seen(views: ViewSet) -> set[int]:
    found: set[int] = set()
    for frame in views.frames:
        if frame.labels is not None:
            counts = np.bincount(frame.labels.ravel())
            found |= set(np.flatnonzero(counts >= SEEN_SHARE * frame.labels.size).tolist())
    return found


def measure_changes(
    indices: Iterable[int],
    noise: NoiseConfig | None = None,
    on_pair: Callable[[int], None] | None = None,
    max_marks: int = COMPARED_MARKS,
) -> ChangeCounts:
    """Find marks in both scenes of many pairs, compare them and judge the result."""
    total = ChangeCounts()
    config = MarksConfig(max_marks=max_marks)
    for index in indices:
        pair = make_pair(index, noise)
        before, after = find_marks(pair.before, config), find_marks(pair.after, config)
        changes = what_changed(pair.before, before, pair.after, after)
        counts = judge_pair(pair, changes, before, after)
        total.pairs += 1
        total.unchanged += counts.unchanged
        total.undecided += counts.undecided
        for name in ("right", "false", "missed"):
            getattr(total, name).update(getattr(counts, name))
        if on_pair is not None:
            on_pair(index)
    return total
