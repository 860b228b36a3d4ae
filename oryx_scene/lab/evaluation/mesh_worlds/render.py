"""Pictures of mesh rooms: ray casting with cast shadows, highlights and light from the windows.

The rays are Open3D's (Embree); textures, light and the sensor are here.
"""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from oryx_scene.lab.evaluation.mesh_worlds.materials import SIZE, Float32, picture
from oryx_scene.lab.evaluation.mesh_worlds.mesh import Mesh, join
from oryx_scene.lab.evaluation.mesh_worlds.rooms import MeshRoom
from oryx_scene.lab.synth.render import FIXED_FRAME, CameraPose
from oryx_scene.records import FloatArray, Frame
from oryx_scene.view.open3d_backend import load_open3d

NEAREST_M = 0.05
LIFT_M = 0.002
LAMP_M = 0.12


@dataclass(frozen=True, eq=False)
class RayScene:
    """A room ready for rays.

    Attributes:
        mesh: everything as one.
        owner: (m,) true id of each triangle.
        caster: Open3D's ``RaycastingScene``.
    """

    mesh: Mesh
    owner: NDArray[np.int32]
    caster: Any

    @classmethod
    def of(cls, room: MeshRoom) -> RayScene:
        """Of a room.

        Raises:
            MissingExtraError: Open3D is not installed.
        """
        o3d = load_open3d()
        mesh = join([mesh for _, mesh in room.parts])
        counts = [len(part.triangles) for _, part in room.parts]
        owner = np.repeat([name for name, _ in room.parts], counts).astype(np.int32)
        caster = o3d.t.geometry.RaycastingScene(nthreads=1)
        caster.add_triangles(
            o3d.core.Tensor(mesh.points.astype(np.float32)),
            o3d.core.Tensor(mesh.triangles.astype(np.uint32)),
        )
        return cls(mesh, owner, caster)

    def cast(self, origins: Float32, directions: Float32) -> dict[str, NDArray[Any]]:
        """``t_hit``, ``primitive_ids`` and ``primitive_uvs`` of rays of any shape (..., 3)."""
        rays = np.concatenate(np.broadcast_arrays(origins, directions), axis=-1)
        found = self.caster.cast_rays(np.ascontiguousarray(rays, dtype=np.float32), nthreads=1)
        return {name: found[name].numpy() for name in ("t_hit", "primitive_ids", "primitive_uvs")}

    def lit(self, points: Float32, lamp: Float32) -> Float32:
        """1 where nothing lies between ``points`` (..., 3) and ``lamp`` (..., 3), else 0."""
        away = lamp - points
        rays = np.concatenate([points, away], axis=-1).astype(np.float32)
        blocked = self.caster.test_occlusions(
            np.ascontiguousarray(rays), tnear=0.0, tfar=0.999, nthreads=1
        )
        return np.asarray(1.0 - blocked.numpy(), dtype=np.float32)

    def clearance(self, place: FloatArray) -> float:
        """Distance of a place (3,) from the nearest surface, metres."""
        found = self.caster.compute_distance(place[None].astype(np.float32), nthreads=1)
        return float(found.numpy()[0])


def render_room(room: MeshRoom, scene: RayScene, poses: Sequence[CameraPose]) -> list[Frame]:
    """One frame per pose: rgb, exact depth, true ids, intrinsics and pose in `map`."""
    return [_frame(room, scene, pose) for pose in poses]


def _frame(room: MeshRoom, scene: RayScene, pose: CameraPose) -> Frame:
    K, (h, w) = pose.intrinsics.K, (pose.intrinsics.height, pose.intrinsics.width)
    rng = np.random.default_rng([room.seed, zlib.crc32(f"{pose.camera}/{pose.stamp_ns}".encode())])
    x, y = np.meshgrid((np.arange(w) - K[0, 2]) / K[0, 0], (np.arange(h) - K[1, 2]) / K[1, 1])
    T = pose.T_map_camera
    rays = (np.stack([x, y, np.ones_like(x)], axis=-1) @ T[:3, :3].T).astype(np.float32)
    eye = T[:3, 3].astype(np.float32)
    hit = scene.cast(eye + NEAREST_M * rays, rays)
    depth = hit["t_hit"] + np.float32(NEAREST_M)
    seen = np.isfinite(hit["t_hit"])
    triangle = np.where(seen, hit["primitive_ids"], 0).astype(np.int64)
    normals, uv = _between(scene.mesh, triangle, hit["primitive_uvs"])
    towards = -rays / np.linalg.norm(rays, axis=-1, keepdims=True)
    normals *= np.sign((normals * towards).sum(axis=-1, keepdims=True) + 1e-9)
    points = eye + depth[..., None] * rays
    points[~seen] = 0
    colours, gloss, glow = _paint(scene.mesh, scene.mesh.surface[triangle], uv)
    level, shine = _light(room, scene, points, normals, towards, rng)
    light = np.where(glow[..., None], np.float32(1.0), level)
    colours = colours * light + (255 * gloss * shine)[..., None]
    colours[~seen] = 200
    labels = np.where(seen, scene.owner[triangle], 0).astype(np.int32)
    depth = np.where(seen, depth, np.float32(np.nan)).astype(np.float32)
    rgb = _sensor(colours, rng)
    return Frame(
        camera=pose.camera,
        stamp_ns=pose.stamp_ns,
        frame_id=pose.frame_id,
        rgb=rgb,
        sha256=hashlib.sha256(rgb.tobytes()).hexdigest(),
        topic=f"/{pose.camera}/image_raw",
        depth=depth,
        depth_sha256=hashlib.sha256(depth.tobytes()).hexdigest(),
        intrinsics=pose.intrinsics,
        T_fixed_camera=pose.T_map_camera,
        fixed_frame=FIXED_FRAME,
        labels=labels,
    )


def _between(mesh: Mesh, triangle: NDArray[np.int64], weights: Float32) -> tuple[Float32, Float32]:
    """Unit normals (..., 3) and texture places (..., 2) between the corners of triangles."""
    corners = mesh.triangles[triangle]
    u, v = weights[..., :1], weights[..., 1:]
    shares = (1 - u - v, u, v)
    normals = sum(s * mesh.normals[corners[..., k]] for k, s in enumerate(shares))
    uv = sum(s * mesh.uv[corners[..., k]] for k, s in enumerate(shares))
    normals = normals / np.maximum(np.linalg.norm(normals, axis=-1, keepdims=True), 1e-9)
    return np.asarray(normals, dtype=np.float32), np.asarray(uv, dtype=np.float32)


def _paint(
    mesh: Mesh, surface: NDArray[np.int64], uv: Float32
) -> tuple[Float32, Float32, NDArray[np.bool_]]:
    """Colour, gloss and glow of every pixel."""
    colours = np.zeros((*surface.shape, 3), np.float32)
    gloss = np.array([m.gloss for m in mesh.materials], np.float32)[surface]
    glow = np.array([m.glow for m in mesh.materials])[surface]
    for index in np.unique(surface):
        at = surface == index
        material = mesh.materials[index]
        place = uv[at] * np.float32(SIZE / material.period_m)
        # A look-up takes at most 32767 rows: pixels are laid out as a picture 256 wide.
        rows = -(-len(place) // 256)
        x, y = (
            np.resize(np.mod(place, SIZE), (rows * 256, 2)).reshape(rows, 256, 2).transpose(2, 0, 1)
        )
        found = cv2.remap(picture(material), x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_WRAP)
        colours[at] = found.reshape(-1, 3)[: len(place)]
    return colours, gloss, glow


def _light(
    room: MeshRoom,
    scene: RayScene,
    points: Float32,
    normals: Float32,
    towards: Float32,
    rng: np.random.Generator,
) -> tuple[Float32, Float32]:
    """Light (..., 3) on every pixel and the strength of its highlight.

    Shadows are cast for every second pixel and row, from several points of each lamp.
    """
    h, w = points.shape[:2]
    lifted = points + LIFT_M * normals
    up = np.float32(0.85) + np.float32(0.15) * normals[..., 2]
    level = 0.5 * up[..., None] * _open(scene, lifted, normals, rng)[..., None]
    level = np.repeat(level, 3, axis=-1)
    shine = np.zeros((h, w), np.float32)
    few = lifted[::2, ::2]
    for index, lamp in enumerate(room.lights.astype(np.float32)):
        samples = 4 if index == 0 else 2
        spread = rng.uniform(-LAMP_M, LAMP_M, (samples, *few.shape)).astype(np.float32)
        shadow = np.mean([scene.lit(few, lamp + offset) for offset in spread], axis=0)
        shadow = cv2.resize(cv2.blur(shadow, (3, 3)), (w, h), interpolation=cv2.INTER_LINEAR)
        away = lamp - points
        distance = np.linalg.norm(away, axis=-1)
        away /= distance[..., None]
        facing = np.maximum((normals * away).sum(axis=-1), 0)
        tint = np.array([1.0, 0.95, 0.86] if index == 0 else [0.92, 0.97, 1.06], np.float32)
        strength = (0.75 if index == 0 else 0.6) / (0.6 + 0.16 * distance**2)
        level += (strength * facing * shadow)[..., None] * tint
        half = away + towards
        half /= np.maximum(np.linalg.norm(half, axis=-1, keepdims=True), 1e-6)
        shine += 0.5 * shadow * np.maximum((normals * half).sum(axis=-1), 0) ** 60
    return level.astype(np.float32), shine


def _open(scene: RayScene, points: Float32, normals: Float32, rng: np.random.Generator) -> Float32:
    """Share of the near surroundings that is free, of every 4th pixel: corners are darker."""
    few, outward = points[::4, ::4], normals[::4, ::4]
    free = np.zeros(few.shape[:2], np.float32)
    count = 8
    for _ in range(count):
        way = rng.standard_normal(few.shape).astype(np.float32)
        way /= np.linalg.norm(way, axis=-1, keepdims=True)
        way = (way + 1.05 * outward) * np.float32(0.35)
        free += scene.lit(few, few + way) / count
    free = cv2.resize(cv2.blur(free, (3, 3)), points.shape[1::-1], interpolation=cv2.INTER_LINEAR)
    return np.asarray(0.45 + 0.55 * free, dtype=np.float32)


def _sensor(colours: Float32, rng: np.random.Generator) -> NDArray[np.uint8]:
    """Exposure, falling light towards the corners, lens blur, shoulder and grain."""
    h, w = colours.shape[:2]
    y, x = np.mgrid[-1 : 1 : h * 1j, -1 : 1 : w * 1j]
    corner = (1 - 0.16 * (x * x + y * y) / 2)[..., None].astype(np.float32)
    out = colours * corner * np.float32(1.0 + 0.05 * rng.standard_normal())
    out = cv2.GaussianBlur(out, (0, 0), float(rng.uniform(0.5, 0.9)))
    out = 255 * (1 - np.exp(-1.35 * out / 255)) / (1 - np.exp(-1.35))
    grain = rng.standard_normal(out.shape).astype(np.float32)
    out = out + grain * np.sqrt(3.0 + 0.03 * out)
    return np.asarray(np.clip(out + 0.5, 0, 255), dtype=np.uint8)
