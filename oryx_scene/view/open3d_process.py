"""Open3D pictures from a child process: a graphics driver that crashes takes the child, not us.

The scene travels as a plain ``.npz`` of arrays (never pickled), the pictures come back the same
way. Open3D is imported in the child only; this module never imports it.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from oryx_scene.errors import EngineError, OryxSceneError
from oryx_scene.view.shapes import PictureQuad, SceneGeometry, Segments
from oryx_scene.view.splat import Rendered
from oryx_scene.view.viewpoint import Viewpoint

# Software rendering of a large orbit takes a while; a hung driver takes for ever.
TIMEOUT_S = 60.0
TIMEOUT_PER_VIEW_S = 10.0
_REFUSED = 3


def _pack(scene: SceneGeometry, views: Sequence[Viewpoint]) -> dict[str, Any]:
    arrays: dict[str, Any] = {
        "points": scene.points,
        "colors": scene.colors,
        "voxel_m": np.array(scene.voxel_m),
        "K": np.stack([view.K for view in views]),
        "T": np.stack([view.T_fixed_view for view in views]),
        "size": np.array([(view.height, view.width) for view in views]),
        "own": np.array([-1 if view.own_camera is None else view.own_camera for view in views]),
    }
    for index, item in enumerate(scene.segments):
        arrays[f"ends_{index}"] = item.ends
        owner = -1 if item.view is None else item.view
        arrays[f"line_{index}"] = np.array([*item.color, owner])
    for index, quad in enumerate(scene.pictures):
        arrays[f"corners_{index}"] = quad.corners
        arrays[f"image_{index}"] = quad.image
        arrays[f"owner_{index}"] = np.array(quad.view)
    return arrays


def _unpack(data: Any) -> tuple[SceneGeometry, list[Viewpoint]]:
    def count(prefix: str) -> int:
        return sum(name.startswith(prefix) for name in data.files)

    segments = []
    for index in range(count("ends_")):
        red, green, blue, owner = (int(value) for value in data[f"line_{index}"])
        view = None if owner < 0 else owner
        segments.append(Segments("", data[f"ends_{index}"], (red, green, blue), view=view))
    pictures = [
        PictureQuad(int(data[f"owner_{i}"]), data[f"corners_{i}"], data[f"image_{i}"])
        for i in range(count("corners_"))
    ]
    scene = SceneGeometry(
        points=data["points"],
        colors=data["colors"],
        voxel_m=float(data["voxel_m"]),
        segments=tuple(segments),
        pictures=tuple(pictures),
    )
    views = [
        Viewpoint(str(i), data["K"][i], int(h), int(w), data["T"][i], own if own >= 0 else None)
        for i, ((h, w), own) in enumerate(zip(data["size"], data["own"].tolist(), strict=True))
    ]
    return scene, views


def render_in_child(scene: SceneGeometry, views: Sequence[Viewpoint]) -> list[Rendered]:
    """As ``open3d_backend.render_open3d``, in a process of its own.

    Raises:
        EngineError: the child could not render, died or hung; the message says what it said.
    """
    with tempfile.TemporaryDirectory(prefix="oryx_scene_view_") as folder:
        given, made = Path(folder) / "scene.npz", Path(folder) / "pictures.npz"
        np.savez(given, **_pack(scene, views))
        command = [sys.executable, "-m", __name__, str(given), str(made)]
        limit_s = TIMEOUT_S + TIMEOUT_PER_VIEW_S * len(views)
        try:
            done = subprocess.run(
                command, capture_output=True, text=True, timeout=limit_s, check=False
            )
        except subprocess.TimeoutExpired as err:
            raise EngineError(f"Open3D did not finish within {limit_s:.0f} s.") from err
        if done.returncode != 0 or not made.exists():
            raise EngineError(_reason(done))
        with np.load(made, allow_pickle=False) as data:
            return [Rendered(data[f"rgb_{i}"], data[f"depth_{i}"]) for i in range(len(views))]


def _reason(done: subprocess.CompletedProcess[str]) -> str:
    lines = [line for line in done.stderr.strip().splitlines() if line.strip()]
    if done.returncode == _REFUSED and lines:
        return str(json.loads(lines[-1])["error"])
    said = f": {lines[-1][:200]}" if lines else ""
    return f"Open3D's process ended with code {done.returncode}{said}"


def main(arguments: Sequence[str]) -> int:
    """The child: read a scene, write pictures; a refusal goes to stderr as one JSON line."""
    from oryx_scene.view.open3d_backend import render_open3d

    given, made = arguments
    with np.load(given, allow_pickle=False) as data:
        scene, views = _unpack(data)
    try:
        pictures = render_open3d(scene, views)
    except OryxSceneError as err:
        sys.stderr.write(json.dumps({"error": str(err)}) + "\n")
        return _REFUSED
    arrays: dict[str, Any] = {}
    for index, picture in enumerate(pictures):
        arrays |= {f"rgb_{index}": picture.rgb, f"depth_{index}": picture.depth}
    np.savez(made, **arrays)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
