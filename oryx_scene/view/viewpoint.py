"""From where to look at a scene: named viewpoints that fit it into the picture, and an orbit.

Plain pinhole poses in the optical convention (z forward, x right, y down); no renderer is known.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from oryx_scene.errors import ConfigError
from oryx_scene.records import FloatArray
from oryx_scene.view.shapes import SceneGeometry
from oryx_scene.view.snapshot import ViewCamera

FIELD_OF_VIEW_DEG = 50.0
CAMERA_PREFIX = "camera:"
# Share of the picture that the scene may fill; the rest is margin for labels.
_FILL = 0.94


@dataclass(frozen=True, eq=False)
class Viewpoint:
    """A pinhole camera to render from.

    Attributes:
        name: as the user named it.
        K: (3, 3) float64 pixels of a (height, width) picture.
        height, width: of the picture, pixels.
        T_fixed_view: (4, 4) float64, optical frame of the viewpoint to the fixed frame.
        own_camera: index into ``SceneGeometry.cameras`` when looking through that camera (its own
            frustum is then left out), else None.
    """

    name: str
    K: FloatArray
    height: int
    width: int
    T_fixed_view: FloatArray
    own_camera: int | None = None


def look_at(eye: FloatArray, target: FloatArray, up: FloatArray) -> FloatArray:
    """Pose (4, 4) of an optical frame at ``eye`` that looks at ``target``, y against ``up``."""
    forward = target - eye
    forward = forward / np.linalg.norm(forward)
    right = np.cross(forward, up)
    if np.linalg.norm(right) < 1e-6:  # looking along "up": any right will do
        right = np.cross(forward, np.roll(up, 1))
    right = right / np.linalg.norm(right)
    T = np.eye(4)
    T[:3, 0], T[:3, 1], T[:3, 2], T[:3, 3] = right, np.cross(forward, right), forward, eye
    return T


def _intrinsics(height: int, width: int) -> FloatArray:
    focal = 0.5 * height / math.tan(math.radians(FIELD_OF_VIEW_DEG) / 2)
    return np.array(
        [[focal, 0.0, (width - 1) / 2], [0.0, focal, (height - 1) / 2], [0.0, 0.0, 1.0]]
    )


def free_look(height: int, width: int) -> Viewpoint:
    """A viewpoint for a scene in which nothing has a place: words are still shown."""
    return Viewpoint("free", _intrinsics(height, width), height, width, np.eye(4))


def _landmarks(scene: SceneGeometry) -> FloatArray:
    """Points (N, 3) that should be in the picture: the bulk of the cloud, cameras and marks."""
    parts = [segments.ends.reshape(-1, 3) for segments in scene.segments]
    parts += [mark.position[None] for mark in scene.marks]
    parts += [c.T_fixed_camera[None, :3, 3] for c in scene.cameras if c.T_fixed_camera is not None]
    if len(scene.points):
        sample = scene.points[:: max(1, len(scene.points) // 5000)]
        low, high = np.percentile(sample, [2, 98], axis=0)
        parts.append(sample[np.all((sample >= low) & (sample <= high), axis=1)])
    found = np.concatenate(parts) if parts else np.zeros((0, 3))
    return found[np.isfinite(found).all(axis=1)]


def _ahead(scene: SceneGeometry) -> FloatArray:
    """Unit vector (3,) across ``up``: where the cameras look on average."""
    looks = [c.T_fixed_camera[:3, 2] for c in scene.cameras if c.T_fixed_camera is not None]
    mean = np.mean(looks, axis=0) if looks else np.zeros(3)
    flat = mean - scene.up * (mean @ scene.up)
    if np.linalg.norm(flat) < 0.1:  # all directions at once, or straight down
        flat = np.cross(scene.up, np.roll(scene.up, 1))
    return np.asarray(flat / np.linalg.norm(flat))


def _fitted(
    scene: SceneGeometry, name: str, size: tuple[int, int], direction: FloatArray, up: FloatArray
) -> Viewpoint:
    """Look along ``direction`` from just far enough to see all landmarks."""
    height, width = size
    K = _intrinsics(height, width)
    points = _landmarks(scene)
    if len(points) == 0:
        raise ConfigError(
            f"viewpoint '{name}': nothing in this scene has a place in space.",
            hint="3D needs depth and a pose; `oryx-scene check` says what is missing",
        )
    target = 0.5 * (points.min(axis=0) + points.max(axis=0))
    T = look_at(target - direction, target, up)
    local = (points - target) @ T[:3, :3]
    tangents = _FILL * 0.5 * np.array([width, height]) / K[0, 0]
    # From an eye at (c, -d) a point at (x, z) is inside when |x - c| <= tan * (d + z). Both signs
    # together give the smallest d, and the c that goes with it, for each picture axis.
    reach = local[:, :2] / tangents
    positive = np.max(reach - local[:, 2:], axis=0)
    negative = np.max(-reach - local[:, 2:], axis=0)
    distance = max(float(np.max(positive + negative)) / 2, 0.3)
    shift = (positive - negative) / 2 * tangents
    T[:3, 3] = target + T[:3, :3] @ np.array([shift[0], shift[1], -distance])
    return Viewpoint(name, K, height, width, T)


def _tilted(ahead: FloatArray, up: FloatArray, turn_deg: float, down_deg: float) -> FloatArray:
    """``ahead`` turned about ``up`` and tipped down."""
    turn, down = math.radians(turn_deg), math.radians(down_deg)
    side = np.cross(up, ahead)
    flat = math.cos(turn) * ahead + math.sin(turn) * side
    return np.asarray(math.cos(down) * flat - math.sin(down) * up)


def through_camera(camera: ViewCamera, index: int, name: str, height: int, width: int) -> Viewpoint:
    """What ``camera`` sees, whole picture, scaled into (height, width) and centred."""
    assert camera.K is not None and camera.T_fixed_camera is not None
    scale = min(height / camera.height, width / camera.width)
    K = camera.K.astype(np.float64).copy()
    # Pixel centres are integers: scale about the picture's own centre.
    K[:2] *= scale
    K[0, 2] = (camera.K[0, 2] - (camera.width - 1) / 2) * scale + (width - 1) / 2
    K[1, 2] = (camera.K[1, 2] - (camera.height - 1) / 2) * scale + (height - 1) / 2
    return Viewpoint(name, K, height, width, camera.T_fixed_camera.copy(), index)


def _camera_index(scene: SceneGeometry, name: str) -> int:
    """Newest posed view of the named camera; "NAME@2" is its third view in time."""
    wanted, _, number = name.partition("@")
    own = [i for i, camera in enumerate(scene.cameras) if camera.camera == wanted]
    own.sort(key=lambda i: scene.cameras[i].stamp_ns)
    if not own or (number and (not number.isdigit() or int(number) >= len(own))):
        known = ", ".join(sorted({camera.camera for camera in scene.cameras})) or "none"
        raise ConfigError(
            f"no posed view '{name}' to look through.",
            hint=f"posed cameras here: {known}; NAME@0 is a camera's first view",
        )
    return own[int(number)] if number else own[-1]


def camera_names(scene: SceneGeometry) -> list[str]:
    """What "camera:" takes to name each camera of the scene: NAME, or NAME@2 of several views."""
    names = []
    for index, camera in enumerate(scene.cameras):
        own = [i for i, other in enumerate(scene.cameras) if other.camera == camera.camera]
        own.sort(key=lambda i: scene.cameras[i].stamp_ns)
        names.append(camera.camera if len(own) == 1 else f"{camera.camera}@{own.index(index)}")
    return names


def make_viewpoint(name: str, scene: SceneGeometry, height: int, width: int) -> Viewpoint:
    """The viewpoint that ``name`` stands for.

    Args:
        name: "free" (from behind the cameras, at an angle), "front" (along their view), "top", or
            "camera:NAME" (through a camera; "camera:NAME@0" is its first view).
        scene: what should be seen.
        height, width: of the picture, pixels.

    Raises:
        ConfigError: unknown name, or nothing to look at.
    """
    ahead, size = _ahead(scene), (height, width)
    if name == "free":
        return _fitted(scene, name, size, _tilted(ahead, scene.up, 25, 32), scene.up)
    if name == "front":
        return _fitted(scene, name, size, _tilted(ahead, scene.up, 0, 8), scene.up)
    if name == "top":
        return _fitted(scene, name, size, -scene.up, ahead)
    if name.startswith(CAMERA_PREFIX):
        index = _camera_index(scene, name[len(CAMERA_PREFIX) :])
        return through_camera(scene.cameras[index], index, name, height, width)
    raise ConfigError(f"unknown viewpoint '{name}'.", hint="one of free, front, top, camera:NAME")


def orbit(scene: SceneGeometry, count: int, height: int, width: int) -> list[Viewpoint]:
    """``count`` viewpoints once around the scene, evenly, starting at "free".

    Raises:
        ConfigError: nothing to look at.
    """
    ahead = _ahead(scene)
    turns = [25 + 360.0 * step / count for step in range(count)]
    views = [
        _fitted(
            scene, f"orbit {step}", (height, width), _tilted(ahead, scene.up, turn, 32), scene.up
        )
        for step, turn in enumerate(turns)
    ]
    return _same_distance(scene, views)


def _same_distance(scene: SceneGeometry, views: list[Viewpoint]) -> list[Viewpoint]:
    """Aim all viewpoints at the middle from the largest distance, so that nothing sways."""
    points = _landmarks(scene)
    target = 0.5 * (points.min(axis=0) + points.max(axis=0))
    farthest = max(float(np.linalg.norm(view.T_fixed_view[:3, 3] - target)) for view in views)
    for view in views:
        view.T_fixed_view[:3, 3] = target - farthest * view.T_fixed_view[:3, 2]
    return views
