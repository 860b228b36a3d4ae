"""What commands write: the JSON of a scene, marked pictures, files that never end half-written."""

from __future__ import annotations

import errno
import io
import json
from pathlib import Path
from typing import Any

from oryx_scene.answer_json import to_plain
from oryx_scene.errors import OutputError
from oryx_scene.scene import Scene

MARKS_SCHEMA = "oryx_scene/marks/1"


def printable(text: str) -> str:
    """``text`` without control characters, which could steer the terminal."""
    return "".join(c if c in "\n\t" or c.isprintable() else "\ufffd" for c in text)


def write_bytes(path: Path, data: bytes) -> None:
    """Write ``data`` whole or not at all (temporary file beside it, then rename).

    Raises:
        OutputError: full disk, no permission, or the folder cannot be made.
    """
    part = path.with_name(path.name + ".part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        part.write_bytes(data)
        part.replace(path)
    except OSError as err:
        hint = "choose another --out"
        if err.errno in (errno.ENOSPC, errno.EDQUOT):
            hint = "free some space or choose another --out"
        raise OutputError(path, err.strerror or str(err), hint=hint) from err


def write_json(path: Path, value: Any) -> None:
    """Write ``value`` as indented, key-sorted, strict JSON."""
    text = json.dumps(value, indent=2, sort_keys=True, allow_nan=False, ensure_ascii=False)
    write_bytes(path, (text + "\n").encode("utf-8"))


def png_bytes(image: Any) -> bytes:
    """(H, W, 3) uint8 RGB as PNG."""
    from PIL import Image

    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, format="PNG")
    return buffer.getvalue()


def scene_to_dict(scene: Scene) -> dict[str, Any]:
    """The documented JSON object of `oryx-scene marks`: per view its marks, in received pixels."""
    views = []
    for index, evidence in enumerate(scene.evidence()):
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
                "position": mark.position,
                "position_std": mark.position_std,
                "size": mark.size,
                "label": mark.label,
                "score": mark.score,
            }
            for mark in scene.marks.marks
            for observation in mark.observations
            if observation.view == index
        ]
        views.append({**to_plain(evidence), "marks": to_plain(seen)})
    return {
        "schema": MARKS_SCHEMA,
        "scene_id": scene.scene_id,
        "frame_id": scene.frame_id,
        "route": scene.marks.route,
        "views": views,
        "relations": to_plain(scene.marks.relations),
        "left_out": to_plain(scene.marks.left_out),
        "budget": to_plain(scene.plan.as_dict()),
        "warnings": list(scene.warnings),
    }


def write_scene_pictures(scene: Scene, folder: Path, described: dict[str, Any]) -> None:
    """Write the pictures that the model sees, and marks.json beside them."""
    for index, (frame, picture) in enumerate(zip(scene.views.frames, scene.prepared, strict=True)):
        write_bytes(folder / f"view_{index:02d}_{frame.camera}.png", png_bytes(picture))
    write_json(folder / "marks.json", described)
