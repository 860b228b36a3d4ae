"""Marks and relations as visualization_msgs/Marker fields, in plain dictionaries.

For RViz and Foxglove. Replay turns them into bag messages and the node into live ones, so that both
look the same; no message class is known here. Names are those of the message, nested ones flattened
to tuples: position (x, y, z), orientation (x, y, z, w), scale (x, y, z), color (r, g, b, a) 0..1.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from oryx_scene.records import Mark, Relation
from oryx_scene.view.shapes import (
    BOX_COLOR,
    PATH_COLOR,
    RELATION_COLOR,
    STATED_COLOR,
    Color,
    relation_lines,
)

# Values of visualization_msgs/msg/Marker.
CUBE, SPHERE, LINE_STRIP, LINE_LIST, TEXT = 1, 2, 4, 5, 9
ADD, DELETE_ALL = 0, 3

TEXT_HEIGHT_M = 0.12
_POINT_M = 0.05


def _rgba(color: Color, alpha: float) -> tuple[float, float, float, float]:
    red, green, blue = (channel / 255.0 for channel in color)
    return red, green, blue, alpha


def _marker(namespace: str, number: int, kind: int, **fields: Any) -> dict[str, Any]:
    marker: dict[str, Any] = {
        "ns": f"oryx_scene/{namespace}",
        "id": number,
        "type": kind,
        "action": ADD,
        "position": (0.0, 0.0, 0.0),
        "orientation": (0.0, 0.0, 0.0, 1.0),
        "scale": (1.0, 1.0, 1.0),
        "color": (1.0, 1.0, 1.0, 1.0),
        "points": (),
        "text": "",
        "lifetime_s": 0.0,
    }
    return marker | fields


def _mark_markers(mark: Mark, named: bool) -> list[dict[str, Any]]:
    assert mark.position is not None
    x, y, z = mark.position
    height = z
    markers = []
    if mark.size is not None:
        scale = tuple(max(side, 0.01) for side in mark.size)
        color = _rgba(BOX_COLOR, 0.55 if named else 0.25)
        markers.append(
            _marker("boxes", mark.number, CUBE, position=(x, y, z), scale=scale, color=color)
        )
        height = z + mark.size[2] / 2
    else:
        scale = (_POINT_M, _POINT_M, _POINT_M)
        color = _rgba(BOX_COLOR, 0.9)
        markers.append(
            _marker("boxes", mark.number, SPHERE, position=(x, y, z), scale=scale, color=color)
        )
    words = f"{mark.number} {mark.label}".strip()
    markers.append(
        _marker(
            "numbers",
            mark.number,
            TEXT,
            position=(x, y, height + TEXT_HEIGHT_M),
            scale=(0.0, 0.0, TEXT_HEIGHT_M * (1.5 if named else 1.0)),
            text=words,
        )
    )
    return markers


def scene_markers(
    marks: Iterable[Mark],
    relations: Iterable[Relation] = (),
    *,
    frame_id: str,
    stamp_ns: int,
    named: Iterable[int] = (),
    path: Sequence[Sequence[float]] = (),
) -> list[dict[str, Any]]:
    """The MarkerArray of one scene.

    Args:
        marks: those without a position give no marker.
        relations: one line per pair of placed marks.
        frame_id: coordinate frame of all places.
        stamp_ns: of every header.
        named: numbers of the marks that the answer names, drawn stronger.
        path: places of the robot or camera, metres, oldest first.

    Returns:
        Dictionaries with the keys "header" (a dictionary of "stamp_ns" and "frame_id"), "ns", "id",
        "type", "action", "position", "orientation", "scale", "color", "points", "text" and
        "lifetime_s". The first one deletes all markers of the scene before.
    """
    strong = set(named)
    placed = [mark for mark in marks if mark.position is not None]
    markers = [_marker("all", 0, ADD) | {"action": DELETE_ALL}]
    for mark in placed:
        markers += _mark_markers(mark, mark.number in strong)
    places = {mark.number: mark.position for mark in placed if mark.position is not None}
    for index, line in enumerate(relation_lines(relations, places, strong)):
        ends = (places[line.first], places[line.second])
        middle = tuple(0.5 * (a + b) for a, b in zip(*ends, strict=True))
        color = _rgba(STATED_COLOR if line.stated else RELATION_COLOR, 0.9)
        thin = (0.01, 0.0, 0.0)
        markers.append(_marker("relations", index, LINE_LIST, points=ends, scale=thin, color=color))
        if line.words:
            size = (0.0, 0.0, 0.6 * TEXT_HEIGHT_M)
            markers.append(
                _marker(
                    "relation_words",
                    index,
                    TEXT,
                    position=middle,
                    scale=size,
                    color=color,
                    text=line.words,
                )
            )
    if len(path) > 1:
        points = tuple(tuple(float(value) for value in place) for place in path)
        markers.append(
            _marker(
                "path",
                0,
                LINE_STRIP,
                points=points,
                scale=(0.03, 0.0, 0.0),
                color=_rgba(PATH_COLOR, 0.9),
            )
        )
    header = {"stamp_ns": stamp_ns, "frame_id": frame_id}
    return [{"header": header, **marker} for marker in markers]
