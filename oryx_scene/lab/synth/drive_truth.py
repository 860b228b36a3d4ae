"""What is true about a drive: where each thing was when, when it was in view, and what changed.

Visibility is read off true ids, cast at a quarter of a VGA picture's width whatever the size of the
frames. A removal is noticed at the first frame that would show the thing at its old place, were it
still there: the negative evidence that a memory can have.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from oryx_scene.lab.synth.drive import Drive, triple
from oryx_scene.lab.synth.house import HouseObject
from oryx_scene.lab.synth.render import FIXED_FRAME, CameraPose, cast_labels, hits_before, rays
from oryx_scene.lab.synth.solids import Float32
from oryx_scene.lab.synth.timeline import Event, Placement

SCHEMA = "oryx_scene/drive_truth/1"
# A thing counts as in view from this share of the picture on (as `eval marks` counts).
VISIBLE_SHARE = 0.0025
_SIZE = (120, 160)


@dataclass
class _Watch:
    """A removal that no frame has shown yet."""

    old: Placement
    event: Event
    first_missed: int | None = None


def drive_truth(drive: Drive, on_frame: Callable[[], object] | None = None) -> dict[str, Any]:
    """The true answers as one JSON object (docs/drive.md describes it).

    Args:
        on_frame: called once per frame, for a progress bar.
    """
    watches = [
        _Watch(_placement_before(drive, event), event)
        for event in drive.timeline.events
        if event.kind in ("moved", "taken")
    ]
    seen: dict[int, list[int]] = {}
    for index in range(drive.config.frames):
        for object_id in _look(drive, index, watches):
            seen.setdefault(object_id, []).append(index)
        if on_frame is not None:
            on_frame()
    return {
        "schema": SCHEMA,
        "settings": dataclasses.asdict(drive.config),
        "frame_id": FIXED_FRAME,
        "camera": drive.true_pose(0).camera,
        "frames": drive.config.frames,
        "start_ns": drive.stamp_of(0.0),
        "end_ns": _stamp(drive, drive.config.frames - 1),
        "visible_share": VISIBLE_SHARE,
        **_rooms(drive),
        "things": [_thing(drive, thing, seen) for thing in _all_things(drive)],
        "events": [_event(drive, event, watches, seen) for event in drive.timeline.events],
        "lights": [
            {"stamp_ns": drive.stamp_of(s), "room": drive.house.room_names[room], "level": level}
            for s, room, level in drive.timeline.lights
        ],
        "pose_errors": _pose_errors(drive),
    }


def _stamp(drive: Drive, index: int) -> int:
    return drive.stamp_of(drive.seconds_of(index))


def _all_things(drive: Drive) -> list[HouseObject]:
    return [*drive.house.things, *drive.house.spare]


def _placement_before(drive: Drive, event: Event) -> Placement:
    """Where the thing of a removal stood until then."""
    return next(
        p
        for p in drive.timeline.placements
        if p.thing.object_id == event.object_id and p.end_s == event.seconds
    )


def _look(drive: Drive, index: int, watches: list[_Watch]) -> list[int]:
    """Ids in view of a frame; watches whose old place it shows to be free are told so."""
    pose = drive.true_pose(index, _SIZE)
    labels, depth = cast_labels(drive.world_at(index), pose)
    seconds = drive.seconds_of(index)
    for watch in watches:
        waits = watch.first_missed is None and watch.event.seconds <= seconds
        if waits and _would_show(watch.old.thing, pose, depth):
            watch.first_missed = index
    counts = np.bincount(labels.ravel())
    counts[0] = 0
    return [int(i) for i in np.flatnonzero(counts >= VISIBLE_SHARE * labels.size)]


def _would_show(thing: HouseObject, pose: CameraPose, depth: Float32) -> bool:
    shown = np.zeros(depth.shape, bool)
    for solid in thing.solids:
        found = hits_before(solid, pose, rays(pose), depth)
        if found is not None:
            shown[found[0]] = True
    return bool(shown.mean() >= VISIBLE_SHARE)


def _rooms(drive: Drive) -> dict[str, Any]:
    house = drive.house
    half = float(house.outer.high[0] - house.middles[:, 0].max())
    rooms = [
        {
            "name": name,
            "low": [float(v) for v in middle - half],
            "high": [float(v) for v in middle + half],
        }
        for name, middle in zip(house.room_names, house.middles, strict=True)
    ]
    doors = [
        {"between": [house.room_names[a], house.room_names[b]], "position": [*map(float, place)]}
        for (a, b), place in sorted(house.doors.items())
    ]
    return {"rooms": rooms, "doors": doors}


def _thing(drive: Drive, thing: HouseObject, seen: dict[int, list[int]]) -> dict[str, Any]:
    names = [other.name for other in _all_things(drive)]
    places = [p for p in drive.timeline.placements if p.thing.object_id == thing.object_id]
    return {
        "id": thing.object_id,
        "name": thing.name,
        "colour": thing.colour,
        "shape": thing.shape,
        "size": list(triple(thing.extent)),
        "only_one": names.count(thing.name) == 1,
        "places": [_place(drive, place) for place in places],
        "visible": _intervals(drive, seen.get(thing.object_id, [])),
    }


def _place(drive: Drive, place: Placement) -> dict[str, Any]:
    return {
        "from_ns": drive.stamp_of(place.start_s),
        "to_ns": None if np.isinf(place.end_s) else drive.stamp_of(place.end_s),
        "room": drive.house.room_names[place.thing.room],
        "position": list(triple(place.thing.body.centre)),
    }


def _intervals(drive: Drive, indices: list[int]) -> list[list[int]]:
    """Runs of frames that follow each other, as [first stamp, last stamp]."""
    if not indices:
        return []
    cuts = np.flatnonzero(np.diff(indices) > 1) + 1
    runs = np.split(np.array(indices), cuts)
    return [[_stamp(drive, int(run[0])), _stamp(drive, int(run[-1]))] for run in runs]


def _event(
    drive: Drive, event: Event, watches: list[_Watch], seen: dict[int, list[int]]
) -> dict[str, Any]:
    missed = next((w.first_missed for w in watches if w.event is event), None)
    stays_until = next(
        (
            p.end_s
            for p in drive.timeline.placements
            if p.thing.object_id == event.object_id and p.start_s == event.seconds
        ),
        None,
    )
    again = [
        index
        for index in seen.get(event.object_id, [])
        if stays_until is not None and event.seconds <= drive.seconds_of(index) < stays_until
    ]
    return {
        "stamp_ns": drive.stamp_of(event.seconds),
        "kind": event.kind,
        "id": event.object_id,
        "first_missed_ns": None if missed is None else _stamp(drive, missed),
        "first_seen_ns": _stamp(drive, again[0]) if again else None,
    }


def _pose_errors(drive: Drive) -> dict[str, Any]:
    errors = drive.pose_error.errors
    away = np.hypot(errors[:, 0], errors[:, 1])
    return {
        "shift_m_mean": float(away.mean()),
        "shift_m_most": float(away.max()),
        "turn_rad_most": float(np.abs(errors[:, 2]).max()),
        "closures": [
            {
                "stamp_ns": _stamp(drive, index),
                "jump_m": float(np.hypot(*(errors[index] - errors[index - 1])[:2])),
            }
            for index in drive.pose_error.closures
        ],
    }
