"""A snapshot as one ``.npz`` file: pictures as JPEG, the cloud in float32 around its own origin.

Never pickled, neither way. Written whole or not at all.
"""

from __future__ import annotations

import io
import json
import zipfile
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from oryx_scene.atomic_io import write_bytes
from oryx_scene.errors import SourceError
from oryx_scene.qa.answer_json import to_plain
from oryx_scene.records import RgbImage
from oryx_scene.view.cloud import FusedCloud
from oryx_scene.view.snapshot import Snapshot, ViewCamera
from oryx_scene.warning import Warning

FORMAT = 1
_JPEG_QUALITY = 88


def jpeg_bytes(image: RgbImage, quality: int = _JPEG_QUALITY) -> bytes:
    """(H, W, 3) uint8 RGB as JPEG."""
    _, data = cv2.imencode(".jpg", image[:, :, ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])
    return bytes(data)


def _decoded(data: Any) -> RgbImage:
    image = cv2.imdecode(data, cv2.IMREAD_COLOR)
    if image is None:
        raise ValueError("a picture cannot be decoded")
    return np.ascontiguousarray(image[:, :, ::-1], np.uint8)


def save_snapshot(path: Path, snapshot: Snapshot) -> None:
    """Write ``snapshot`` to ``path``.

    Raises:
        OutputError: the file cannot be written.
    """
    write_bytes(path, snapshot_bytes(snapshot))


def snapshot_bytes(snapshot: Snapshot) -> bytes:
    """What the file of a snapshot holds."""
    points = snapshot.cloud.points
    origin = points.mean(axis=0) if len(points) else np.zeros(3)
    about = {
        "format": FORMAT,
        "frame_id": snapshot.frame_id,
        "voxel_m": snapshot.cloud.voxel_m,
        "frames_used": snapshot.cloud.frames_used,
        "warnings": to_plain(snapshot.warnings),
        "cameras": [
            {
                "camera": camera.camera,
                "stamp_ns": camera.stamp_ns,
                "height": camera.height,
                "width": camera.width,
            }
            for camera in snapshot.cameras
        ],
    }
    arrays: dict[str, Any] = {
        "about": np.frombuffer(json.dumps(about).encode(), np.uint8),
        "origin": origin,
        "points": (points - origin).astype(np.float32),
        "colors": snapshot.cloud.colors,
        "path": snapshot.path,
    }
    for index, camera in enumerate(snapshot.cameras):
        arrays[f"picture_{index}"] = np.frombuffer(jpeg_bytes(camera.picture), np.uint8)
        if camera.K is not None:
            arrays[f"K_{index}"] = camera.K
        if camera.T_fixed_camera is not None:
            arrays[f"T_{index}"] = camera.T_fixed_camera
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)
    return buffer.getvalue()


def load_snapshot(path: Path) -> Snapshot:
    """Read what :func:`save_snapshot` wrote.

    Raises:
        SourceError: missing, damaged, or of another format.
    """
    try:
        with np.load(path, allow_pickle=False) as data:
            about = json.loads(bytes(data["about"]))
            if about["format"] != FORMAT:
                raise SourceError(path, f"format {about['format']} is not known.")
            return _from_arrays(about, {name: data[name] for name in data.files})
    except (OSError, ValueError, KeyError, TypeError, zipfile.BadZipFile, cv2.error) as err:
        raise SourceError(
            path, f"no readable snapshot ({type(err).__name__}).", hint="run the replay again"
        ) from err


def _from_arrays(about: dict[str, Any], arrays: dict[str, Any]) -> Snapshot:
    cameras = tuple(
        ViewCamera(
            camera=str(item["camera"]),
            stamp_ns=int(item["stamp_ns"]),
            height=int(item["height"]),
            width=int(item["width"]),
            picture=_decoded(arrays[f"picture_{index}"]),
            K=arrays.get(f"K_{index}"),
            T_fixed_camera=arrays.get(f"T_{index}"),
        )
        for index, item in enumerate(about["cameras"])
    )
    cloud = FusedCloud(
        points=arrays["points"].astype(np.float64) + arrays["origin"],
        colors=arrays["colors"],
        voxel_m=float(about["voxel_m"]),
        frame_id=str(about["frame_id"]),
        frames_used=int(about["frames_used"]),
    )
    return Snapshot(
        cameras,
        cloud,
        cloud.frame_id,
        arrays["path"],
        tuple(Warning(**item) for item in about["warnings"]),
    )
