"""A small buffer of transforms on integer nanoseconds: static and dynamic, interpolated.

Every sample keeps its parent, as tf2's do: a frame may change its parent over time. Never
extrapolates: outside a frame's samples, and between two samples of different parents, the answer is
an error that says so, because a pose of another moment is a wrong pose. Never reads a clock.
"""

from __future__ import annotations

import bisect
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from oryx_scene.errors import TransformError
from oryx_scene.geometry.transforms import check_transform, interpolate, invert
from oryx_scene.records import FloatArray

_NOT_CONNECTED = "a transform between the two trees is not published"


class _Gap(NamedTuple):
    """Why a transform is not known, and what helps where that is special."""

    problem: str
    hint: str = ""


@dataclass
class _Edge:
    """What is known of one frame's place in its parents.

    Attributes:
        stamps, samples: dynamic (parent, transform), ordered by stamp.
        statics: (since, parent, transform), ordered; the first holds before its stamp, too.
        pinned: (parent, transform) that wins over everything recorded.
        parents: all that were ever named, in the order of arrival.
        last: the parent named last.
        returns: how often the parent went back to one that was named before.
    """

    stamps: list[int] = field(default_factory=list)
    samples: list[tuple[str, FloatArray]] = field(default_factory=list)
    statics: list[tuple[int, str, FloatArray]] = field(default_factory=list)
    pinned: tuple[str, FloatArray] | None = None
    parents: list[str] = field(default_factory=list)
    last: str = ""
    returns: int = 0

    def name(self, parent: str) -> None:
        """Remember a parent in the order of arrival."""
        if parent == self.last:
            return
        self.returns += parent in self.parents
        if parent not in self.parents:
            self.parents.append(parent)
        self.last = parent

    def insert(self, stamp_ns: int, parent: str, T: FloatArray) -> None:
        index = bisect.bisect_left(self.stamps, stamp_ns)
        if index < len(self.stamps) and self.stamps[index] == stamp_ns:
            self.samples[index] = parent, T
        else:
            self.stamps.insert(index, stamp_ns)
            self.samples.insert(index, (parent, T))

    def insert_static(self, since_ns: int, parent: str, T: FloatArray) -> None:
        for _, other, known in self.statics:
            if other == parent and np.array_equal(known, T):
                return
        self.statics.append((since_ns, parent, T))
        self.statics.sort(key=lambda item: item[0])

    def same(self, other: _Edge) -> bool:
        """Whether both say the same; a few samples of long links are compared."""
        if self.parents != other.parents or len(self.statics) != len(other.statics):
            return False
        pairs = zip(self.statics, other.statics, strict=True)
        if not all(np.allclose(a[2], b[2], atol=1e-6) for a, b in pairs):
            return False
        common = sorted(set(self.stamps) & set(other.stamps))
        if bool(self.stamps) != bool(other.stamps) or (self.stamps and not common):
            return False
        for stamp_ns in common[:: max(1, len(common) // 16)]:
            a, b = (link.samples[link.stamps.index(stamp_ns)] for link in (self, other))
            if a[0] != b[0] or not np.allclose(a[1], b[1], atol=1e-6):
                return False
        return True

    def prune(self, before_ns: int) -> None:
        # Slicing a long list at every insert would be quadratic: wait until half is old.
        old = bisect.bisect_left(self.stamps, before_ns)
        if old > 64 and old > len(self.stamps) // 2:
            del self.stamps[:old]
            del self.samples[:old]

    @property
    def current(self) -> str:
        """The parent now: the pinned one, else that of the newest sample or static."""
        if self.pinned is not None:
            return self.pinned[0]
        return self.samples[-1][0] if self.samples else self.statics[-1][1]

    @property
    def moves(self) -> bool:
        """Whether the answer depends on the time."""
        return self.pinned is None and bool(self.stamps)

    @property
    def disputed(self) -> bool:
        """Whether several publishers name different parents: they alternate, or one is static."""
        fixed = {parent for _, parent, _ in self.statics}
        several = len(fixed | {parent for parent, _ in self.samples}) > 1
        return self.pinned is None and (self.returns > 0 or (bool(fixed) and several))

    def at(self, child: str, stamp_ns: int) -> tuple[str, FloatArray] | _Gap:
        """(parent, transform) at a stamp, or why it is not known."""
        if self.pinned is not None:
            return self.pinned[0], self.pinned[1]
        after = bisect.bisect_left(self.stamps, stamp_ns)
        if after < len(self.stamps) and self.stamps[after] == stamp_ns:
            return self.samples[after]
        if 0 < after < len(self.stamps):
            return self._between(child, after, stamp_ns)
        if self.statics:
            since = [item[0] for item in self.statics]
            _, parent, T = self.statics[max(0, bisect.bisect_right(since, stamp_ns) - 1)]
            return parent, T
        if after == 0:
            gap_s = (self.stamps[0] - stamp_ns) / 1e9
            name = f"'{self.samples[0][0]}' -> '{child}'"
            return _Gap(f"{name} is known only from {gap_s:.3f} s later on.")
        gap_s = (stamp_ns - self.stamps[-1]) / 1e9
        name = f"'{self.samples[-1][0]}' -> '{child}'"
        return _Gap(f"{name} is known only until {gap_s:.3f} s earlier.")

    def _between(self, child: str, after: int, stamp_ns: int) -> tuple[str, FloatArray] | _Gap:
        (parent, T0), (later, T1) = self.samples[after - 1], self.samples[after]
        if parent != later:
            problem = f"the parent of '{child}' changes from '{parent}' to '{later}' at that time."
            return _Gap(problem, f"let only one node publish the parent of '{child}'")
        before_ns, after_ns = self.stamps[after - 1], self.stamps[after]
        alpha = (stamp_ns - before_ns) / (after_ns - before_ns)
        return parent, interpolate(T0, T1, alpha)


class TransformBuffer:
    """Transforms between named coordinate frames over time.

    A frame that has both dynamic and static transforms goes by the dynamic ones where they cover
    the time. What :meth:`pin` states wins over both.

    Args:
        history_s: how much of each dynamic link is kept, None keeps all.
    """

    def __init__(self, history_s: float | None = None) -> None:
        self._history_ns = None if history_s is None else int(history_s * 1e9)
        self._links: dict[str, _Edge] = {}

    def add(self, parent: str, child: str, stamp_ns: int, T_parent_child: FloatArray) -> None:
        """Store one dynamic transform.

        Raises:
            CalibrationError: the matrix is no rigid transform.
            TransformError: the two frames are the same or would form a loop.
        """
        T = check_transform(T_parent_child, f"{parent} -> {child}")
        parent, link = self._link(parent, child, stamp_ns)
        link.insert(stamp_ns, parent, T)
        if self._history_ns is not None:
            link.prune(link.stamps[-1] - self._history_ns)

    def add_static(
        self, parent: str, child: str, T_parent_child: FloatArray, since_ns: int = 0
    ) -> None:
        """Store a transform that holds at every time, or until another one is stated later.

        Args:
            parent, child: coordinate frames.
            T_parent_child: (4, 4) takes points of the child to the parent.
            since_ns: when it was stated; of several, each holds from its own stamp on.

        Raises:
            CalibrationError: the matrix is no rigid transform.
            TransformError: the two frames are the same or would form a loop.
        """
        T = check_transform(T_parent_child, f"{parent} -> {child}")
        parent, link = self._link(parent, child, since_ns)
        link.insert_static(since_ns, parent, T)

    def pin(self, parent: str, child: str, T_parent_child: FloatArray) -> None:
        """State a transform that wins over all that was or will be added for ``child``.

        Raises:
            CalibrationError: the matrix is no rigid transform.
            TransformError: the two frames are the same or would form a loop.
        """
        T = check_transform(T_parent_child, f"{parent} -> {child}")
        parent, link = self._link(parent, child, 0)
        link.pinned = parent, T

    def _link(self, parent: str, child: str, stamp_ns: int) -> tuple[str, _Edge]:
        parent, child = parent.lstrip("/"), child.lstrip("/")
        if not parent or not child:
            raise TransformError(parent, child, stamp_ns, "a frame without a name was given.")
        if child == parent or child in self._chain(parent):
            raise TransformError(parent, child, stamp_ns, "the frames would form a loop.")
        link = self._links.setdefault(child, _Edge())
        link.name(parent)
        return parent, link

    def _chain(self, frame_id: str) -> list[str]:
        """``frame_id`` and its ancestors up to the root, by the newest parents."""
        chain = [frame_id]
        while (link := self._links.get(chain[-1])) is not None and link.current not in chain:
            chain.append(link.current)
        return chain

    def lookup(self, target: str, source: str, stamp_ns: int) -> FloatArray:
        """T_target_source at ``stamp_ns``: takes points in ``source`` to ``target``.

        Raises:
            TransformError: unknown frame, frames of different trees, or no data at that time.
        """
        target, source = target.lstrip("/"), source.lstrip("/")
        if target == source:
            return np.eye(4)
        up, up_ends = self._climb(source, stamp_ns)
        down, down_ends = self._climb(target, stamp_ns)
        common = next((name for name in up if name in down), None)
        if common is not None:
            return invert(down[common]) @ up[common]
        self._require_known(target, source, stamp_ns)
        gap = up_ends or down_ends
        if gap is not None:
            raise TransformError(target, source, stamp_ns, gap.problem, hint=gap.hint)
        roots = f"roots '{next(reversed(down))}' and '{next(reversed(up))}'"
        problem = f"they lie in different trees ({roots})."
        raise TransformError(target, source, stamp_ns, problem, hint=_NOT_CONNECTED)

    def _climb(self, frame_id: str, stamp_ns: int) -> tuple[dict[str, FloatArray], _Gap | None]:
        """T_ancestor_frame of all ancestors at a stamp, and why there are no more of them."""
        found, name = {frame_id: np.eye(4)}, frame_id
        while (link := self._links.get(name)) is not None:
            step = link.at(name, stamp_ns)
            if isinstance(step, _Gap):
                return found, step
            parent, T = step
            if parent in found:
                return found, _Gap(f"the frames form a loop at '{parent}'.")
            found[parent] = T @ found[name]
            name = parent
        return found, None

    def _require_known(self, target: str, source: str, stamp_ns: int) -> None:
        known = self.known_frames()
        for name in (target, source):
            if name not in known:
                hint = f"known are: {', '.join(sorted(known)) or 'none'}"
                problem = f"frame '{name}' is not known."
                raise TransformError(target, source, stamp_ns, problem, hint=hint)

    def newest(self, target: str, source: str, stamp_ns: int) -> int | None:
        """The newest stamp at which the two frames are known to each other.

        Args:
            target, source: as for :meth:`lookup`.
            stamp_ns: for the error's sentence.

        Returns:
            None where nothing between them moves: they are known at every stamp.

        Raises:
            TransformError: unknown frame, or frames of different trees.
        """
        target, source = target.lstrip("/"), source.lstrip("/")
        if target == source:
            return None
        self._require_known(target, source, stamp_ns)
        up, down = self._chain(source), self._chain(target)
        common = next((name for name in up if name in down), None)
        if common is None:
            problem = f"they lie in different trees (roots '{down[-1]}' and '{up[-1]}')."
            raise TransformError(target, source, stamp_ns, problem, hint=_NOT_CONNECTED)
        between = [*up[: up.index(common)], *down[: down.index(common)]]
        ends = [self._links[name].stamps[-1] for name in between if self._links[name].moves]
        return min(ends, default=None)

    def known_frames(self) -> frozenset[str]:
        """Names of all frames."""
        parents = {name for link in self._links.values() for name in link.parents}
        return frozenset(parents | set(self._links))

    def parent_of(self, child: str) -> str | None:
        """The newest parent of a frame, None for a root or an unknown frame."""
        link = self._links.get(child.lstrip("/"))
        return None if link is None else link.current

    def root_of(self, frame_id: str) -> str:
        """The root of the tree that ``frame_id`` lies in."""
        return self._chain(frame_id.lstrip("/"))[-1]

    def connected(self, target: str, source: str) -> bool:
        """Whether two frames were ever, at any time, connected through some parent."""
        return not self._ancestors(target.lstrip("/")).isdisjoint(
            self._ancestors(source.lstrip("/"))
        )

    def _ancestors(self, frame_id: str) -> set[str]:
        found, left = {frame_id}, [frame_id]
        while left:
            link = self._links.get(left.pop())
            new = set(link.parents if link else ()) - found
            found |= new
            left += new
        return found

    def disputed(self) -> dict[str, tuple[str, ...]]:
        """Frames for which several publishers name different parents -> these parents."""
        return {
            child: tuple(link.parents)
            for child, link in sorted(self._links.items())
            if link.disputed
        }

    def contradicts(self, other: TransformBuffer) -> bool:
        """Whether the two say different things about one frame."""
        both = self._links.keys() & other._links.keys()
        return any(not self._links[child].same(other._links[child]) for child in both)

    def joined(self, other: TransformBuffer) -> TransformBuffer:
        """A buffer with the frames of both; shares their samples, what is added later stays out."""
        if not other._links:
            return self
        found = TransformBuffer()
        found._links = {**other._links, **self._links}
        return found

    def span(self) -> tuple[int, int] | None:
        """First and last stamp of all dynamic transforms; None where there are none."""
        ends = [(link.stamps[0], link.stamps[-1]) for link in self._links.values() if link.moves]
        if not ends:
            return None
        return min(first for first, _ in ends), max(last for _, last in ends)

    def coverage(self, parent: str, child: str) -> tuple[int, int] | None:
        """First and last stamp of the dynamic transforms; None if it is static or unknown."""
        link = self._links.get(child.lstrip("/"))
        if link is None or not link.moves or parent.lstrip("/") not in link.parents:
            return None
        return link.stamps[0], link.stamps[-1]

    def clear(self) -> None:
        """Forget everything that has a stamp; static and pinned transforms stay true."""
        links, self._links = self._links, {}
        for child, link in links.items():
            if link.statics or link.pinned:
                kept = _Edge(statics=link.statics, pinned=link.pinned)
                for parent in (*(item[1] for item in link.statics), *(link.pinned or ())[:1]):
                    kept.name(str(parent))
                self._links[child] = kept
