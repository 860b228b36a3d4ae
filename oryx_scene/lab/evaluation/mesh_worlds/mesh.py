"""Triangle meshes and the parts that things are built of: boxes, turned profiles, tubes, cushions.

A thing's own axes: z up, its foot at z = 0. Texture coordinates are metres along the surface.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from oryx_scene.lab.evaluation.mesh_worlds.materials import Material
from oryx_scene.records import FloatArray

IntArray = NDArray[np.int64]
Vector = Sequence[float] | FloatArray


@dataclass(frozen=True, eq=False)
class Mesh:
    """Triangles.

    Attributes:
        points: (n, 3) corners, metres.
        normals: (n, 3) of the smooth surface; either side may be seen.
        uv: (n, 2) metres along the surface.
        triangles: (m, 3) indices of corners.
        surface: (m,) index into ``materials``.
        materials: of its surfaces.
    """

    points: FloatArray
    normals: FloatArray
    uv: FloatArray
    triangles: IntArray
    surface: IntArray
    materials: tuple[Material, ...]

    def moved(self, offset: Vector, yaw: float = 0.0) -> Mesh:
        """Turned about the vertical, then shifted."""
        c, s = np.cos(yaw), np.sin(yaw)
        R = np.array([[c, -s, 0.0], [s, c, 0.0], [0.0, 0.0, 1.0]])
        points = self.points @ R.T + np.asarray(offset)
        rest = (self.uv, self.triangles, self.surface, self.materials)
        return Mesh(points, self.normals @ R.T, *rest)

    def tipped(self) -> Mesh:
        """Laid on its side: its z axis becomes x."""
        R = np.array([[0.0, 0, 1], [0, 1, 0], [-1, 0, 0]])
        points = self.points @ R.T
        points[:, 2] -= points[:, 2].min()
        rest = (self.uv, self.triangles, self.surface, self.materials)
        return Mesh(points, self.normals @ R.T, *rest)

    @property
    def low(self) -> FloatArray:
        """(3,) least coordinates."""
        return np.asarray(self.points.min(axis=0))

    @property
    def high(self) -> FloatArray:
        """(3,) greatest coordinates."""
        return np.asarray(self.points.max(axis=0))


def join(parts: Sequence[Mesh]) -> Mesh:
    """All parts as one mesh."""
    materials: list[Material] = []
    triangles, surfaces, count = [], [], 0
    for part in parts:
        triangles.append(part.triangles + count)
        surfaces.append(part.surface + len(materials))
        materials += part.materials
        count += len(part.points)
    return Mesh(
        np.concatenate([part.points for part in parts]),
        np.concatenate([part.normals for part in parts]),
        np.concatenate([part.uv for part in parts]),
        np.concatenate(triangles),
        np.concatenate(surfaces),
        tuple(materials),
    )


def _grid(points: FloatArray, normals: FloatArray, uv: FloatArray, material: Material) -> Mesh:
    """A sheet of (rows, columns, 3) points."""
    rows, columns = points.shape[:2]
    i = (np.arange(rows - 1)[:, None] * columns + np.arange(columns - 1)).ravel()
    a = np.stack([i, i + 1, i + columns], axis=1)
    b = np.stack([i + 1, i + columns + 1, i + columns], axis=1)
    triangles = np.concatenate([a, b])
    return Mesh(
        points.reshape(-1, 3),
        np.broadcast_to(normals, points.shape).reshape(-1, 3),
        uv.reshape(-1, 2),
        triangles,
        np.zeros(len(triangles), np.int64),
        (material,),
    )


def sheet(corner: Vector, along: Vector, up: Vector, material: Material) -> Mesh:
    """A flat rectangle from ``corner`` by two edges, metres."""
    a, b, c = (np.asarray(v, float) for v in (along, up, corner))
    share = np.array([0.0, 1.0])
    points = c + share[:, None, None] * b + share[None, :, None] * a
    normal = np.cross(a, b)
    length = np.array([np.linalg.norm(a), np.linalg.norm(b)])
    uv = np.stack(np.meshgrid(share, 1 - share), axis=-1) * length
    return _grid(points, normal / np.linalg.norm(normal), uv, material)


def box(size: Vector, material: Material, at: Vector = (0, 0, 0)) -> Mesh:
    """A box of full ``size``, the middle of its foot ``at`` a place."""
    (w, d, h), place = size, np.asarray(at, float)
    x, y, z = np.array([w, 0, 0]), np.array([0, d, 0]), np.array([0, 0, h])
    low = place - (x + y) / 2
    # The first edge of a face runs along the grain: level, or along the longer side.
    pairs = (
        *((low, x, z), (low + y, x, z), (low, y, z), (low + x, y, z)),
        *((low, x, y), (low + z, x, y)),
    )
    faces = []
    for corner, a, b in pairs:
        a, b = (b, a) if np.linalg.norm(b) > np.linalg.norm(a) else (a, b)  # noqa: PLW2901
        face = sheet(corner, a, b, material)
        outward = face.points.mean(axis=0) - (low + (x + y + z) / 2)
        sign = np.sign(face.normals[0] @ outward)
        rest = (face.uv, face.triangles, face.surface, face.materials)
        faces.append(Mesh(face.points, face.normals * sign, *rest))
    return join(faces)


def turned(profile: Sequence[tuple[float, float]], material: Material, sides: int = 32) -> Mesh:
    """A profile of (radius, height) turned about the vertical; every stretch of it is one band."""
    angle = np.linspace(0, 2 * np.pi, sides + 1)
    around = np.stack([np.cos(angle), np.sin(angle)], axis=1)
    bands, travelled = [], 0.0
    for (r0, z0), (r1, z1) in itertools.pairwise(profile):
        length = float(np.hypot(r1 - r0, z1 - z0))
        if length < 1e-9:
            continue
        radius, height = np.array([r0, r1]), np.array([z0, z1])
        points = np.empty((2, sides + 1, 3))
        points[..., :2] = radius[:, None, None] * around
        points[..., 2] = height[:, None]
        out = np.array([z1 - z0, r0 - r1]) / length
        normals = np.column_stack([around * out[0], np.full(sides + 1, out[1])])
        along = np.array([travelled, travelled + length])
        girth = max(r for r, _ in profile) * angle
        uv = np.stack(np.broadcast_arrays(girth[None, :], -along[:, None]), axis=-1)
        bands.append(_grid(points, normals[None], uv, material))
        travelled += length
    return join(bands)


def tube(path: FloatArray, radius: float, material: Material, sides: int = 10) -> Mesh:
    """A round bar along (k, 3) points, its ends closed."""
    path = np.asarray(path, float)
    ahead = np.gradient(path, axis=0)
    ahead /= np.linalg.norm(ahead, axis=1, keepdims=True)
    side = np.cross(ahead[0], [0.0, 0, 1])
    if np.linalg.norm(side) < 1e-3:
        side = np.cross(ahead[0], [0.0, 1, 0])
    angle = np.linspace(0, 2 * np.pi, sides + 1)
    normals = np.empty((len(path), sides + 1, 3))
    for k, direction in enumerate(ahead):
        side = side - (side @ direction) * direction
        side = side / np.linalg.norm(side)
        other = np.cross(direction, side)
        normals[k] = np.cos(angle)[:, None] * side + np.sin(angle)[:, None] * other
    points = path[:, None] + radius * normals
    steps = np.linalg.norm(np.diff(path, axis=0), axis=1)
    along = np.concatenate([[0.0], np.cumsum(steps)])
    uv = np.stack(np.broadcast_arrays(along[:, None], radius * angle[None, :]), axis=-1)
    ends = []
    for end, sign in ((0, -1.0), (-1, 1.0)):
        disc = np.stack([points[end], np.broadcast_to(path[end], points[end].shape)])
        flat = np.stack([radius * np.cos(angle), radius * np.sin(angle)], axis=1)
        ends.append(_grid(disc, sign * ahead[end], np.stack([flat, 0 * flat]), material))
    return join([_grid(points, normals, uv, material), *ends])


def cushion(half: Vector, material: Material, at: Vector = (0, 0, 0), square: float = 0.4) -> Mesh:
    """A superellipsoid on its foot: ``square`` 1 is an ellipsoid, 0.2 nearly a box."""
    up = np.linspace(-np.pi / 2, np.pi / 2, 17)[:, None]
    angle = np.linspace(-np.pi, np.pi, 33)[None, :]

    def power(value: FloatArray, exponent: float) -> FloatArray:
        return np.asarray(np.sign(value) * np.abs(value) ** exponent)

    def shape(exponent: float) -> FloatArray:
        level = power(np.cos(up), exponent)
        x, y = level * power(np.cos(angle), exponent), level * power(np.sin(angle), exponent)
        return np.stack(np.broadcast_arrays(x, y, power(np.sin(up), exponent)), axis=-1)

    size = np.asarray(half, float)
    normals = shape(2 - square) / size
    normals /= np.maximum(np.linalg.norm(normals, axis=-1, keepdims=True), 1e-9)
    uv = np.stack(np.broadcast_arrays(angle * size[:2].max(), up * size[2]), axis=-1)
    points = shape(square) * size + np.asarray(at, float) + np.array([0, 0, size[2]])
    return _grid(points, normals, uv, material)
