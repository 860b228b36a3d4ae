"""Ray casting a world into frames: picture, depth along optical z and true ids of every pixel.

Every solid is only cast through the rectangle of the picture that its corners span, which makes it
fast without a graphics library. Nothing here is random but the sensor noise, whose seed follows
from the world, the camera and the stamp.
"""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from oryx_scene.geometry.transforms import invert, transform_points
from oryx_scene.lab.synth.lighting import blob, shade
from oryx_scene.lab.synth.rooms import FLOOR, cast_room, inward_normals
from oryx_scene.lab.synth.solids import Float32, Hits, IntArray, Solid, intersect
from oryx_scene.lab.synth.texture import brightness
from oryx_scene.lab.synth.world import World
from oryx_scene.records import FloatArray, Frame, Intrinsics, RgbImage

FIXED_FRAME = "map"


@dataclass(frozen=True, eq=False)
class CameraPose:
    """One picture to take.

    Attributes:
        camera: name; several pictures of one camera differ by stamp.
        stamp_ns: capture time.
        intrinsics: undistorted pinhole.
        T_map_camera: (4, 4) optical frame to `map`.
    """

    camera: str
    stamp_ns: int
    intrinsics: Intrinsics
    T_map_camera: FloatArray

    @property
    def frame_id(self) -> str:
        """Name of the optical frame."""
        return f"{self.camera}_optical_frame"


@dataclass(frozen=True)
class SensorConfig:
    """What a colour camera does to the light.

    Attributes:
        noise: standard deviation of a pixel's values, 0..255.
        blur_px: standard deviation of the lens blur, pixels; 0 for none.
        exposure: standard deviation of the brightness between pictures.
    """

    noise: float = 2.5
    blur_px: float = 0.5
    exposure: float = 0.03


def render_views(
    world: World, poses: Sequence[CameraPose], sensor: SensorConfig | None = None
) -> list[Frame]:
    """One frame per pose: rgb, depth, labels, intrinsics and the true pose in `map`.

    Depth is exact (no holes); `noise` makes it real.
    """
    sensor = sensor or SensorConfig()
    return [_render(world, pose, sensor) for pose in poses]


@dataclass(eq=False)
class _RenderBuffers:
    """What is known of every pixel, shape (H, W, ...)."""

    directions: Float32
    depth: Float32
    labels: NDArray[np.int32]
    normals: Float32
    colours: Float32


def _render(world: World, pose: CameraPose, sensor: SensorConfig) -> Frame:
    canvas = _draw_room(world, pose)
    for solid in world.solids:
        _draw_solid(canvas, solid, pose)
    _draw_blobs(world, canvas, pose)
    canvas.colours *= shade(world.lighting, canvas.normals)
    rgb = _expose(canvas.colours, world, pose, sensor)
    return Frame(
        camera=pose.camera,
        stamp_ns=pose.stamp_ns,
        frame_id=pose.frame_id,
        rgb=rgb,
        sha256=hashlib.sha256(rgb.tobytes()).hexdigest(),
        topic=f"/{pose.camera}/image_raw",
        depth=canvas.depth,
        depth_sha256=hashlib.sha256(canvas.depth.tobytes()).hexdigest(),
        intrinsics=pose.intrinsics,
        T_fixed_camera=pose.T_map_camera,
        fixed_frame=FIXED_FRAME,
        labels=canvas.labels,
    )


def rays(pose: CameraPose) -> Float32:
    """(H, W, 3) directions in `map`, optical z equal to 1."""
    K, height, width = pose.intrinsics.K, pose.intrinsics.height, pose.intrinsics.width
    R = pose.T_map_camera[:3, :3]
    x = (np.arange(width) - K[0, 2]) / K[0, 0]
    y = (np.arange(height) - K[1, 2]) / K[1, 1]
    across = (x[:, None] * R[:, 0]).astype(np.float32)
    down = (y[:, None] * R[:, 1] + R[:, 2]).astype(np.float32)
    return np.asarray(across[None, :, :] + down[:, None, :])


def _draw_room(world: World, pose: CameraPose) -> _RenderBuffers:
    room = world.room
    height, width = pose.intrinsics.height, pose.intrinsics.width
    directions = rays(pose)
    flat = directions.reshape(-1, 3)
    origin = pose.T_map_camera[:3, 3]
    depth, surface = cast_room(room, origin, flat)
    colours = room.rgb.astype(np.float32)[surface]
    points = origin.astype(np.float32) + flat * depth[:, None]
    floor = np.flatnonzero(surface == FLOOR)
    walls = np.flatnonzero(surface < FLOOR)
    # The floor's pattern must not depend on its height, which is 0 up to rounding.
    points[floor, 2] = 0.0
    colours[floor] *= brightness(room.floor, points[floor])[:, None]
    along = points[walls] * np.float32(1.0)
    along[surface[walls] < 2, 0] = 0.0
    along[surface[walls] >= 2, 1] = 0.0
    colours[walls] *= brightness(room.walls, along)[:, None]
    return _RenderBuffers(
        directions,
        depth.reshape(height, width),
        np.zeros((height, width), np.int32),
        inward_normals()[surface].reshape(height, width, 3),
        colours.reshape(height, width, 3),
    )


def rectangle(points: FloatArray, pose: CameraPose) -> tuple[slice, slice] | None:
    """Rows and columns that the convex hull of ``points`` (n, 3) may cover; None if behind.

    The whole picture where the hull reaches behind the camera.
    """
    height, width = pose.intrinsics.height, pose.intrinsics.width
    seen = transform_points(invert(pose.T_map_camera), points)
    z = seen[:, 2]
    if (z < 0.02).all():
        return None
    if (z < 0.02).any():
        return slice(0, height), slice(0, width)
    pixels = seen @ pose.intrinsics.K.T
    u, v = pixels[:, 0] / z, pixels[:, 1] / z
    left, right = max(0, int(np.floor(u.min()))), min(width, int(np.ceil(u.max())) + 1)
    top, bottom = max(0, int(np.floor(v.min()))), min(height, int(np.ceil(v.max())) + 1)
    if left >= right or top >= bottom:
        return None
    return slice(top, bottom), slice(left, right)


Pixels = tuple[IntArray, IntArray]


def hits_before(
    solid: Solid, pose: CameraPose, directions: Float32, depth: Float32
) -> tuple[Pixels, Hits] | None:
    """Where a solid lies in front of ``depth``: (rows, columns) and the hits; None if nowhere.

    Args:
        directions: (H, W, 3) of `rays`.
        depth: (H, W) metres along optical z.
    """
    window = rectangle(solid.corners(), pose)
    if window is None:
        return None
    inside = directions[window]
    hits = intersect(solid, pose.T_map_camera[:3, 3], inside.reshape(-1, 3))
    rows, columns = np.divmod(hits.index, inside.shape[1])
    near = hits.t < depth[window][rows, columns]
    at = (rows[near] + window[0].start, columns[near] + window[1].start)
    return at, Hits(hits.index[near], hits.t[near], hits.normal[near], hits.local[near])


def cast_labels(world: World, pose: CameraPose) -> tuple[NDArray[np.int32], Float32]:
    """True ids (H, W) and depth (H, W) of a frame without its colours; much less work."""
    directions = rays(pose)
    depth, _ = cast_room(world.room, pose.T_map_camera[:3, 3], directions.reshape(-1, 3))
    depth = depth.reshape(directions.shape[:2])
    labels = np.zeros(depth.shape, np.int32)
    for solid in world.solids:
        found = hits_before(solid, pose, directions, depth)
        if found is not None:
            depth[found[0]] = found[1].t
            labels[found[0]] = solid.object_id
    return labels, depth


def _draw_solid(canvas: _RenderBuffers, solid: Solid, pose: CameraPose) -> None:
    found = hits_before(solid, pose, canvas.directions, canvas.depth)
    if found is None:
        return
    at, hits = found
    canvas.depth[at] = hits.t
    canvas.labels[at] = solid.object_id
    canvas.normals[at] = hits.normal
    level = brightness(solid.pattern, hits.local)
    canvas.colours[at] = solid.rgb.astype(np.float32) * level[:, None]


def _draw_blobs(world: World, canvas: _RenderBuffers, pose: CameraPose) -> None:
    """Darken the level surface that each thing stands on, around it."""
    origin = pose.T_map_camera[:3, 3].astype(np.float32)
    for body in world.bodies:
        reach = 1.7 * body.radius
        square = np.array([[x, y, body.bottom] for x in (-1, 1) for y in (-1, 1)])
        square[:, :2] = square[:, :2] * reach + body.centre[:2]
        window = rectangle(square, pose)
        if window is None:
            continue
        depth = canvas.depth[window]
        points = origin + canvas.directions[window] * depth[..., None]
        level = (np.abs(points[..., 2] - body.bottom) < 0.01) & (
            canvas.normals[window][..., 2] > 0.9
        )
        away = points[..., :2] - body.centre[:2].astype(np.float32)
        distance = np.hypot(away[..., 0], away[..., 1]) / np.float32(body.radius)
        factor = np.where(level, blob(world.lighting, distance), np.float32(1.0))
        canvas.colours[window] *= factor[..., None]


def _expose(colours: Float32, world: World, pose: CameraPose, sensor: SensorConfig) -> RgbImage:
    name = zlib.crc32(f"{pose.camera}/{pose.stamp_ns}".encode())
    rng = np.random.default_rng([world.seed, name])
    picture = colours * np.float32(1.0 + sensor.exposure * rng.standard_normal())
    if sensor.blur_px > 0:
        picture = cv2.GaussianBlur(picture, (0, 0), sensor.blur_px)
    if sensor.noise > 0:
        grain = rng.standard_normal(picture.shape, dtype=np.float32)
        picture = picture + np.float32(sensor.noise) * grain
    return np.asarray(np.clip(picture + 0.5, 0, 255), dtype=np.uint8)
