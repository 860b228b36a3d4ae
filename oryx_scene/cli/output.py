"""What commands write: the JSON of a scene, its marked pictures, a snapshot to look at later."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from oryx_scene.atomic_io import png_bytes, write_bytes, write_json
from oryx_scene.qa.answer_json import to_plain
from oryx_scene.records import MarkSet
from oryx_scene.scene.freeze import Scene

MARKS_SCHEMA = "oryx_scene/marks/2"


def printable(text: str) -> str:
    """``text`` without control characters, which could steer the terminal."""
    return "".join(c if c in "\n\t" or c.isprintable() else "\ufffd" for c in text)


def left_out_in(marks: MarkSet, view: int) -> dict[str, int]:
    """Reason -> objects that a view shows without a number in it."""
    return dict(marks.left_out_by_view[view]) if marks.left_out_by_view else {}


def view_caption(marks: MarkSet, view: int) -> str:
    """How many numbers a view carries, how many were left out there and why, in words."""
    count = sum(item.view == view for mark in marks.marks for item in mark.observations)
    said = f"{count} mark{'' if count == 1 else 's'}"
    reasons = left_out_in(marks, view)
    listed = ", ".join(f"{number} {reason}" for reason, number in reasons.items())
    return f"{said}; left out: {listed}" if listed else said


def scene_to_dict(scene: Scene) -> dict[str, Any]:
    """The documented JSON object of `oryx-scene marks`: per view its marks, in received pixels."""
    views = []
    for index, evidence in enumerate(scene.evidence):
        seen = [
            {
                "number": mark.number,
                "u": observation.u,
                "v": observation.v,
                "radius_px": observation.radius_px,
                "depth_m": observation.depth_m,
                "visible_fraction": observation.visible_fraction,
                "area_px": observation.area_px,
                "bbox": observation.bbox,
                "beside": observation.beside,
                "position": mark.position,
                "position_std": mark.position_std,
                "covariance": mark.covariance,
                "size": mark.size,
                "label": mark.label,
                "score": mark.score,
            }
            for mark in scene.marks.marks
            for observation in mark.observations
            if observation.view == index
        ]
        left_out = left_out_in(scene.marks, index)
        views.append({**to_plain(evidence), "marks": to_plain(seen), "left_out": left_out})
    return {
        "schema": MARKS_SCHEMA,
        "scene_id": scene.scene_id,
        "frame_id": scene.frame_id,
        "route": scene.marks.route,
        "views": views,
        "relations": to_plain(scene.marks.relations),
        "left_out": to_plain(scene.marks.left_out),
        "budget": to_plain(scene.plan.as_dict()),
        "warnings": to_plain(scene.warnings),
    }


def write_scene_pictures(scene: Scene, folder: Path, described: dict[str, Any]) -> None:
    """Write the pictures that the model sees, marks.json, and scene.npz for `oryx-scene view`."""
    from oryx_scene.view.snapshot import take_snapshot
    from oryx_scene.view.snapshot_file import save_snapshot

    for index, (frame, picture) in enumerate(zip(scene.views.frames, scene.prepared, strict=True)):
        caption = view_caption(scene.marks, index)
        path = folder / f"view_{index:02d}_{frame.camera}.png"
        write_bytes(path, png_bytes(picture, caption))
    write_json(folder / "marks.json", described)
    save_snapshot(folder / "scene.npz", take_snapshot(scene.views.frames))


__all__ = ["printable", "scene_to_dict", "write_bytes", "write_json", "write_scene_pictures"]
