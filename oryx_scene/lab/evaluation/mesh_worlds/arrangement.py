"""Where things stand on floors, tables and boards: apart, in contact with a neighbour, or stacked.

Footprints are the convex hulls of meshes seen from above.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import cv2
import numpy as np
from numpy.typing import NDArray

from oryx_scene.lab.evaluation.mesh_worlds.furniture import Top
from oryx_scene.lab.evaluation.mesh_worlds.mesh import Mesh
from oryx_scene.records import FloatArray

Hull = NDArray[np.float32]
TRIES = 60
CONTACT_M = 0.001


def footprint(mesh: Mesh) -> Hull:
    """(k, 2) corners of the convex hull seen from above, metres."""
    hull = cv2.convexHull(np.ascontiguousarray(mesh.points[:, :2], dtype=np.float32))
    return np.asarray(hull[:, 0], dtype=np.float32)


def separation(a: Hull, b: Hull) -> float:
    """Widest free strip between two hulls along an edge of one, metres; negative if they overlap.

    The separating axis theorem; the distance of two corners may be larger.
    """
    widest = -np.inf
    for one, other in ((a, b), (b, a)):
        edges = np.roll(one, -1, axis=0) - one
        length = np.linalg.norm(edges, axis=1)
        outward = np.column_stack([edges[:, 1], -edges[:, 0]])[length > 1e-6]
        outward = outward / length[length > 1e-6, None]
        corners = one[length > 1e-6]
        middle = one.mean(axis=0)
        outward *= np.sign(((corners - middle) * outward).sum(axis=1, keepdims=True))
        beyond = (other @ outward.T).min(axis=0) - (corners * outward).sum(axis=1)
        widest = max(widest, float(beyond.max()))
    return widest


@dataclass(frozen=True, eq=False)
class PlacedMesh:
    """One thing where it stands, room axes."""

    name: str
    mesh: Mesh
    hull: Hull

    @classmethod
    def of(cls, name: str, mesh: Mesh) -> PlacedMesh:
        """With its footprint."""
        return cls(name, mesh, footprint(mesh))


def share_space(a: PlacedMesh, b: PlacedMesh, gap: float) -> bool:
    """Whether two things are nearer than ``gap`` metres seen from above, at a common height."""
    if a.mesh.low[2] >= b.mesh.high[2] - 1e-4 or b.mesh.low[2] >= a.mesh.high[2] - 1e-4:
        return False
    # Coordinates are float32: a tenth of a millimetre is rounding.
    return separation(a.hull, b.hull) < gap - 1e-4


@dataclass
class Arrangement:
    """Things of one room as they are placed, one after the other.

    Attributes:
        rng: draws places.
        things: so far.
        carriers: how many of them, the first ones, carry others: what stands on their boards lies
            within their footprint.
    """

    rng: np.random.Generator
    things: list[PlacedMesh] = field(default_factory=list)
    carriers: int = 0

    def put(self, name: str, mesh: Mesh, *, gap: float = 0.0) -> bool:
        """Where the mesh is; False where something stands there."""
        thing = PlacedMesh.of(name, mesh)
        if any(share_space(thing, other, gap) for other in self.things[self.carriers :]):
            return False
        self.things.append(thing)
        return True

    def stand(self, name: str, mesh: Mesh, top: Top, gap: float, upright: bool = False) -> bool:
        """Anywhere on ``top`` (room axes); ``upright`` keeps its front within 25 degrees of -y."""
        if mesh.high[2] - mesh.low[2] > top.room:
            return False
        for _ in range(TRIES):
            yaw = float(
                self.rng.uniform(-0.45, 0.45) if upright else self.rng.uniform(0, 2 * np.pi)
            )
            x, y = self.rng.uniform(-1, 1, 2) * (top.half_x, top.half_y)
            moved = mesh.moved((top.x + x, top.y + y, top.z), yaw)
            if _on(moved, top) and self.put(name, moved, gap=gap):
                return True
        return False

    def lean(self, name: str, mesh: Mesh, top: Top, anchor: PlacedMesh) -> bool:
        """In contact with ``anchor``, on the same ``top``."""
        if mesh.high[2] - mesh.low[2] > top.room:
            return False
        middle = anchor.hull.mean(axis=0)
        for _ in range(TRIES // 4):
            angle = self.rng.uniform(0, 2 * np.pi)
            ahead = np.array([np.cos(angle), np.sin(angle)])
            turned = mesh.moved((0, 0, top.z), float(self.rng.uniform(0, 2 * np.pi)))
            at = self._contact(name, turned, middle, ahead, anchor)
            if _on(at, top) and self.put(name, at, gap=0.0):
                return True
        return False

    def _contact(
        self, name: str, mesh: Mesh, middle: FloatArray, ahead: FloatArray, anchor: PlacedMesh
    ) -> Mesh:
        """The mesh pushed towards ``middle`` until it meets the anchor."""
        near, far = 0.0, 1.5
        for _ in range(14):
            half = (near + far) / 2
            spot = middle + half * ahead
            there = PlacedMesh.of(name, mesh.moved((spot[0], spot[1], 0)))
            if share_space(there, anchor, CONTACT_M):
                near = half
            else:
                far = half
        spot = middle + far * ahead
        return mesh.moved((spot[0], spot[1], 0))

    def stack(self, name: str, mesh: Mesh, anchor: PlacedMesh, room: float) -> bool:
        """On top of ``anchor``, over its middle."""
        x, y = anchor.hull.mean(axis=0)
        level = anchor.mesh.high[2]
        if level + mesh.high[2] - anchor.mesh.low[2] > room:
            return False
        moved = mesh.moved((x, y, level + CONTACT_M), float(self.rng.uniform(0, 2 * np.pi)))
        if cv2.contourArea(footprint(moved)) > 0.8 * cv2.contourArea(anchor.hull):
            return False
        return self.put(name, moved)


def _on(mesh: Mesh, top: Top) -> bool:
    low, high = mesh.low, mesh.high
    return bool(
        low[0] >= top.x - top.half_x
        and high[0] <= top.x + top.half_x
        and low[1] >= top.y - top.half_y
        and high[1] <= top.y + top.half_y
    )
