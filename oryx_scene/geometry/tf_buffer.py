"""A small buffer of transforms on integer nanoseconds: static and dynamic, interpolated.

Never extrapolates: outside an edge's samples the answer is an error with the gap in seconds,
because a pose of another moment is a wrong pose. Never reads a clock.
"""

from __future__ import annotations

import bisect
from dataclasses import dataclass, field

import numpy as np

from oryx_scene.errors import TransformError
from oryx_scene.frames import FloatArray
from oryx_scene.geometry.transforms import check_transform, interpolate, invert


@dataclass
class _Edge:
    """Transforms of one child in its parent, ordered by stamp; static ones have no stamp."""

    parent: str
    static: FloatArray | None = None
    stamps: list[int] = field(default_factory=list)
    transforms: list[FloatArray] = field(default_factory=list)

    def insert(self, stamp_ns: int, T: FloatArray) -> None:
        if not self.stamps or stamp_ns > self.stamps[-1]:
            self.stamps.append(stamp_ns)
            self.transforms.append(T)
            return
        index = bisect.bisect_left(self.stamps, stamp_ns)
        if self.stamps[index] == stamp_ns:
            self.transforms[index] = T
        else:
            self.stamps.insert(index, stamp_ns)
            self.transforms.insert(index, T)

    def prune(self, before_ns: int) -> None:
        # Slicing a long list at every insert would be quadratic: wait until half is old.
        old = bisect.bisect_left(self.stamps, before_ns)
        if old > 64 and old > len(self.stamps) // 2:
            del self.stamps[:old]
            del self.transforms[:old]


class TransformBuffer:
    """Transforms between named coordinate frames over time.

    Args:
        history_s: how much of each dynamic edge is kept, None keeps all.
    """

    def __init__(self, history_s: float | None = None) -> None:
        self._history_ns = None if history_s is None else int(history_s * 1e9)
        self._edges: dict[str, _Edge] = {}

    def add(self, parent: str, child: str, stamp_ns: int, T_parent_child: FloatArray) -> None:
        """Store one dynamic transform.

        Raises:
            CalibrationError: the matrix is no rigid transform.
            TransformError: the two frames are the same or would form a loop.
        """
        T = check_transform(T_parent_child, f"{parent} -> {child}")
        edge = self._edge(parent, child, stamp_ns)
        edge.static = None
        edge.insert(stamp_ns, T)
        if self._history_ns is not None:
            edge.prune(edge.stamps[-1] - self._history_ns)

    def add_static(self, parent: str, child: str, T_parent_child: FloatArray) -> None:
        """Store a transform that holds at every time.

        Raises:
            CalibrationError: the matrix is no rigid transform.
            TransformError: the two frames are the same or would form a loop.
        """
        T = check_transform(T_parent_child, f"{parent} -> {child}")
        edge = self._edge(parent, child, 0)
        edge.static = T
        edge.stamps.clear()
        edge.transforms.clear()

    def _edge(self, parent: str, child: str, stamp_ns: int) -> _Edge:
        parent, child = parent.lstrip("/"), child.lstrip("/")
        if not parent or not child:
            raise TransformError(parent, child, stamp_ns, "a frame without a name was given.")
        edge = self._edges.get(child)
        if edge is not None and edge.parent == parent:
            return edge
        if child == parent or child in self._chain(parent):
            raise TransformError(parent, child, stamp_ns, "the frames would form a loop.")
        # A frame has one parent: the newest statement wins, as in tf2.
        self._edges[child] = _Edge(parent)
        return self._edges[child]

    def _chain(self, frame_id: str) -> list[str]:
        """``frame_id`` and its ancestors up to the root."""
        chain = [frame_id]
        while (edge := self._edges.get(chain[-1])) is not None:
            chain.append(edge.parent)
        return chain

    def lookup(self, target: str, source: str, stamp_ns: int) -> FloatArray:
        """T_target_source at ``stamp_ns``: takes points in ``source`` to ``target``.

        Raises:
            TransformError: unknown frame, frames of different trees, or no data at that time.
        """
        target, source = target.lstrip("/"), source.lstrip("/")
        if target == source:
            return np.eye(4)
        known = self.known_frames()
        for name in (target, source):
            if name not in known:
                raise TransformError(
                    target,
                    source,
                    stamp_ns,
                    f"frame '{name}' is not known.",
                    hint=f"known are: {', '.join(sorted(known)) or 'none'}",
                )
        up, down = self._chain(source), self._chain(target)
        common = next((name for name in up if name in down), None)
        if common is None:
            raise TransformError(
                target,
                source,
                stamp_ns,
                f"they lie in different trees (roots '{down[-1]}' and '{up[-1]}').",
                hint="a transform between the two trees is not published",
            )
        T_common_source = self._climb(up[: up.index(common)], target, source, stamp_ns)
        T_common_target = self._climb(down[: down.index(common)], target, source, stamp_ns)
        return invert(T_common_target) @ T_common_source

    def _climb(self, chain: list[str], target: str, source: str, stamp_ns: int) -> FloatArray:
        T = np.eye(4)
        for child in chain:
            T = self._at(child, target, source, stamp_ns) @ T
        return T

    def _at(self, child: str, target: str, source: str, stamp_ns: int) -> FloatArray:
        edge = self._edges[child]
        if edge.static is not None:
            return edge.static
        stamps = edge.stamps
        index = bisect.bisect_left(stamps, stamp_ns)
        if index < len(stamps) and stamps[index] == stamp_ns:
            return edge.transforms[index]
        name = f"'{edge.parent}' -> '{child}'"
        if index == 0:
            gap_s = (stamps[0] - stamp_ns) / 1e9
            problem = f"{name} is known only from {gap_s:.3f} s later on."
            raise TransformError(target, source, stamp_ns, problem)
        if index == len(stamps):
            gap_s = (stamp_ns - stamps[-1]) / 1e9
            problem = f"{name} is known only until {gap_s:.3f} s earlier."
            raise TransformError(target, source, stamp_ns, problem)
        before, after = stamps[index - 1], stamps[index]
        alpha = (stamp_ns - before) / (after - before)
        return interpolate(edge.transforms[index - 1], edge.transforms[index], alpha)

    def known_frames(self) -> frozenset[str]:
        """Names of all frames."""
        parents = {edge.parent for edge in self._edges.values()}
        return frozenset(parents | set(self._edges))

    def parent_of(self, child: str) -> str | None:
        """The parent of a frame, None for a root or an unknown frame."""
        edge = self._edges.get(child.lstrip("/"))
        return None if edge is None else edge.parent

    def root_of(self, frame_id: str) -> str:
        """The root of the tree that ``frame_id`` lies in."""
        return self._chain(frame_id.lstrip("/"))[-1]

    def coverage(self, parent: str, child: str) -> tuple[int, int] | None:
        """First and last stamp of a dynamic edge; None if it is static or unknown."""
        edge = self._edges.get(child.lstrip("/"))
        if edge is None or edge.parent != parent.lstrip("/") or not edge.stamps:
            return None
        return edge.stamps[0], edge.stamps[-1]

    def clear(self) -> None:
        """Forget everything that has a stamp; static transforms stay true."""
        self._edges = {
            child: edge for child, edge in self._edges.items() if edge.static is not None
        }
