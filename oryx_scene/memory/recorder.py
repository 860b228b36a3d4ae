"""Writing a memory: frames in, rows and pictures out, in bounded memory.

The same recorder takes the frames of a recording (:func:`remember`) and those of a live node
(:meth:`Recorder.add`). It reads no clock: time is the frames' stamps. What a window of frames
brought is written together, so that a process that is killed loses no more than one window.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from oryx_scene.config import MarksConfig
from oryx_scene.errors import ConfigError, NoFramesError, OryxSceneError
from oryx_scene.geometry.transforms import invert
from oryx_scene.marks.depth.reprojection_votes import CutView
from oryx_scene.marks.depth.route import cut_view
from oryx_scene.marks.depth.view_grid import ViewGrid, usable
from oryx_scene.marks.finder import NoMemory, find_marks
from oryx_scene.memory.alignment import Alignment, Wish, align, floor_height
from oryx_scene.memory.keyframes import KeyframeChoice, KeyframeConfig, keep_crop, keep_keyframe
from oryx_scene.memory.store import MemoryStore
from oryx_scene.memory.tracking import Tracker, Update
from oryx_scene.memory.walls import Walls
from oryx_scene.records import DiscLayout, FloatArray, Frame, MarkObservation, MarkSet, ViewSet
from oryx_scene.sources.base import BaseSource, FrameStub, left_out
from oryx_scene.warning import Warning

FindMarks = Callable[[ViewSet, MarksConfig, str], MarkSet]
Progress = Callable[[Sequence[FrameStub]], Iterable[FrameStub]]
# A row of the path is written where the robot went or turned so far, or after so long.
PATH_M, PATH_RAD, PATH_S = 0.2, 0.3, 5.0
# Frames of a session with which its alignment is measured.
ALIGNING_FRAMES = 24
# Numbers that fit everything: discs of one pixel, which need no room.
MOST_MARKS, DISC_PX = 99, 1.0


@dataclass(frozen=True)
class MemoryConfig:
    """How a memory is written.

    Attributes:
        rate_hz: of each camera at most so many frames a second are taken in.
        window: newest frames in which things are looked for together.
        step: new frames until things are looked for again; a killed process loses so many.
        localised_only: frames are recorded only while the robot is localised; others are counted.
            Frames without any pose are never recorded. False records the rest however bad it is.
        most_shift_m, most_turn_rad: frames whose source says that its pose is worse than this
            (``Frame.pose_std``) do not count as localised.
        drift_m: by how much localised poses may be off for minutes: things that moved by less are
            not told from drift. Less for a localiser that is known to be better.
        keyframes: which pictures are kept.
        marks: limits of the mark finder.
    """

    rate_hz: float = 2.0
    window: int = 8
    step: int = 8
    localised_only: bool = True
    most_shift_m: float = 0.5
    most_turn_rad: float = 0.2
    drift_m: float = 0.3
    keyframes: KeyframeConfig = field(default_factory=KeyframeConfig)
    marks: MarksConfig = field(default_factory=lambda: MarksConfig(max_marks=MOST_MARKS))

    def __post_init__(self) -> None:
        if not 1 <= self.step <= self.window:
            raise ConfigError("memory: 1 <= step <= window expected.")
        if not self.rate_hz > 0:
            raise ConfigError("memory.rate_hz must be positive.")


@dataclass(frozen=True)
class Remembered:
    """What one run brought.

    Attributes:
        session: row of the table ``sessions``, 0 where nothing was recorded.
        alignment: how its places are known to be in the map, with ``agreement``.
        frames: taken in by this run.
        not_localised: frames that were not recorded because nothing knows where they are.
        new, moved, gone: instances: new ones, found at another place, places looked through.
        keyframes: kept.
        warnings: what is missing or doubtful.
    """

    session: int
    alignment: str
    agreement: float
    frames: int
    not_localised: int
    new: int
    moved: int
    gone: int
    keyframes: int
    warnings: tuple[Warning, ...] = ()


class _Cuts(NoMemory):
    """Cut views, kept while their frames are in the window."""

    def __init__(self) -> None:
        self._kept: dict[tuple[str, int], CutView] = {}

    def cut(self, frame: Frame, config: MarksConfig) -> CutView:
        """The view cut into patches, once."""
        key = (frame.camera, frame.stamp_ns)
        if key not in self._kept:
            self._kept[key] = cut_view(frame, config)
        return self._kept[key]

    def forget(self, frames: Iterable[Frame]) -> None:
        """Keep only cut views of ``frames``."""
        wanted = {(frame.camera, frame.stamp_ns) for frame in frames}
        self._kept = {key: cut for key, cut in self._kept.items() if key in wanted}


class Recorder:
    """One session of a memory that is being written.

    Args:
        store: open for writing.
        source, fingerprint: name of the recording or run, and what tells it from others: a session
            of the same fingerprint is continued where it ended.
        alignment: from :func:`align`; does not count for a session that is continued.
        fixed_frame: of the poses.
        find: the mark finder; None is the project's own.
        mountings: optical frame -> (base frame, T_base_camera) of cameras on a robot.
        config: settings.
    """

    def __init__(
        self,
        store: MemoryStore,
        source: str,
        fingerprint: str,
        alignment: Alignment,
        fixed_frame: str,
        *,
        find: FindMarks | None = None,
        mountings: Mapping[str, tuple[str, FloatArray]] | None = None,
        config: MemoryConfig | None = None,
    ) -> None:
        self.config = config or MemoryConfig()
        self._store, self._find = store, find
        self._mountings = mountings or {}
        self._window: deque[Frame] = deque(maxlen=self.config.window)
        self._fresh = 0
        self._cuts = _Cuts()
        self._keep = KeyframeChoice(self.config.keyframes)
        self._path: tuple[FloatArray, float, int] | None = None
        self._below: float | None = None
        self.counts = {"frames": 0, "not_localised": 0, "new": 0, "moved": 0, "gone": 0}
        self.keyframes = 0
        self.warnings: dict[Warning, None] = {}
        self._alignment = alignment
        if store.missing:
            text = f"{store.missing} picture files that rows name are not there"
            self.warnings[Warning("memory_pictures_missing", text)] = None
        with store.transaction():
            self._session, self._map = self._begin(source, fingerprint, alignment, fixed_frame)
            self._walls = Walls(store, self._map)
            self._tracker = Tracker(
                store, self._map, self._session, self._walls, self.config.drift_m
            )

    @property
    def session(self) -> int:
        """Row of the table ``sessions``."""
        return self._session

    @property
    def map_row(self) -> int:
        """Row of the table ``maps``."""
        return self._map

    def _begin(
        self, source: str, fingerprint: str, alignment: Alignment, fixed_frame: str
    ) -> tuple[int, int]:
        known = session_of(self._store, fingerprint)
        if known is not None:
            return known
        map_row = alignment.map_row or self._store.insert("maps", frame_id=fixed_frame)
        agreement = None if math.isnan(alignment.agreement) else alignment.agreement
        settings = json.dumps(dataclasses.asdict(self.config), default=str)
        session = self._store.insert(
            "sessions",
            map=map_row,
            source=source,
            fingerprint=fingerprint,
            alignment=alignment.how,
            agreement=agreement,
            complete=0,
            settings=settings,
        )
        return session, map_row

    def add(self, frame: Frame) -> None:
        """Take in the next frame; stamps ascend.

        Raises:
            MemoryStoreError: the quota is used up by rows of instances, or the disk is full.
        """
        if not self.localised(frame):
            self.counts["not_localised"] += 1
            return
        self.counts["frames"] += 1
        if usable(frame):
            self._walls.learn(self._cuts.cut(frame, self.config.marks))
        self._window.append(frame)
        self._fresh += 1
        if self._fresh >= self.config.step:
            self.flush()

    def localised(self, frame: Frame) -> bool:
        """Whether a frame's place is known well enough to be recorded."""
        if frame.T_fixed_camera is None or not self.config.localised_only:
            return frame.T_fixed_camera is not None
        shift, turn = frame.pose_std or (0.0, 0.0)
        return shift <= self.config.most_shift_m and turn <= self.config.most_turn_rad

    def flush(self) -> None:
        """Write what the newest frames brought."""
        if not self._fresh:
            return
        frames = tuple(self._window)
        fresh = range(len(frames) - min(self._fresh, len(frames)), len(frames))
        views = ViewSet(frames)
        marks = self._marks(views)
        with self._store.transaction():
            update = self._tracker.update(views, fresh, marks)
            self._keep_pictures(frames, fresh, update)
            self._walls.write()
            self._store.rows(
                "UPDATE sessions SET first_ns = coalesce(first_ns, ?), done_ns = ?, "
                "frames = frames + ?, not_localised = ? WHERE id = ?",
                frames[fresh[0]].stamp_ns,
                frames[-1].stamp_ns,
                len(fresh),
                self.counts["not_localised"],
                self._session,
            )
        for name in ("new", "moved", "gone"):
            self.counts[name] += len(getattr(update, name))
        self._fresh = 0
        keep = frames[-(self.config.window - self.config.step) :] if self._overlap else ()
        self._cuts.forget(keep)
        if not self._overlap:
            self._window.clear()

    @property
    def _overlap(self) -> bool:
        return self.config.step < self.config.window

    def close(self, *, complete: bool = True) -> Remembered:
        """Write what is left and end the session."""
        self.flush()
        with self._store.transaction():
            self._store.update("sessions", self._session, complete=int(complete))
        self._store.fold_log()
        counts = self.counts
        if counts["not_localised"]:
            text = f"{counts['not_localised']} frames without a sure pose are not recorded"
            self.warnings[Warning("memory_not_localised", text)] = None
        return Remembered(
            self._session,
            self._alignment.how,
            self._alignment.agreement,
            keyframes=self.keyframes,
            warnings=tuple(self.warnings),
            **counts,
        )

    def _marks(self, views: ViewSet) -> MarkSet:
        discs = DiscLayout(radii=(DISC_PX,) * len(views.frames), most_hidden=1.0)
        config = dataclasses.replace(self.config.marks, discs=discs)
        if self._find is not None:
            return self._find(views, config, "")
        if not any(usable(frame) for frame in views.frames):
            text = "frames without depth show no places: no instance is recorded from them"
            self.warnings[Warning("memory_without_depth", text)] = None
            return MarkSet()
        return find_marks(views, config, memory=self._cuts)

    def _keep_pictures(self, frames: Sequence[Frame], fresh: range, update: Update) -> None:
        seen: dict[int, list[tuple[int, MarkObservation]]] = {}
        changed: set[int] = set()
        for view, instance, where in update.seen:
            seen.setdefault(view, []).append((instance.stay.row, where))
            if instance.row in update.changed:
                changed.add(view)
        for view in fresh:
            frame = frames[view]
            grid = self._cuts.cut(frame, self.config.marks).grid if usable(frame) else None
            reason = self._keep.reason(frame, grid, view in changed)
            self._go(frame, grid, bool(reason))
            for stay, where in seen.get(view, []):
                keep_crop(self._store, stay, frame, where.bbox, self.config.keyframes.jpeg_quality)
            if reason:
                self._keep_frame(frame, reason, seen.get(view, []))

    def _keep_frame(
        self,
        frame: Frame,
        reason: str,
        seen: Sequence[tuple[int, MarkObservation]],
    ) -> None:
        row, scale = keep_keyframe(self._store, self._session, frame, reason, self.config.keyframes)
        self.keyframes += 1
        for stay, where in seen:
            u0, v0, u1, v1 = (value * scale for value in where.bbox)
            visible = where.visible_fraction
            self._store.insert(
                "sightings",
                stay=stay,
                keyframe=row,
                u=where.u * scale,
                v=where.v * scale,
                u0=u0,
                v0=v0,
                u1=u1,
                v1=v1,
                visible=visible if math.isfinite(visible) else None,
                area=where.area_px * scale * scale,
            )

    def _go(self, frame: Frame, grid: ViewGrid | None, always: bool) -> None:
        """Write where the robot is, where it went far enough since."""
        T = frame.T_fixed_camera
        assert T is not None
        mounting = self._mountings.get(frame.frame_id)
        if mounting is not None:
            T = T @ invert(mounting[1])
            place, ahead = T[:3, 3], T[:3, 0]
        else:
            place, ahead = T[:3, 3].copy(), T[:3, 2]
            floor = None if grid is None else floor_height(frame, grid)
            if floor is not None:
                below = float(place[2]) - floor
                self._below = below if self._below is None else max(self._below, below)
            place[2] -= self._below or 0.0
        yaw = math.atan2(float(ahead[1]), float(ahead[0]))
        if self._path is not None and not always:
            last, last_yaw, last_ns = self._path
            turned = abs(math.remainder(yaw - last_yaw, math.tau))
            waited = (frame.stamp_ns - last_ns) / 1e9
            if np.linalg.norm(place - last) < PATH_M and turned < PATH_RAD and waited < PATH_S:
                return
        x, y, z = place.tolist()
        self._store.insert(
            "path", session=self._session, stamp_ns=frame.stamp_ns, x=x, y=y, z=z, yaw=yaw
        )
        self._path = (place, yaw, frame.stamp_ns)


def session_of(store: MemoryStore, fingerprint: str) -> tuple[int, int] | None:
    """(session, map) of a recording that was begun before."""
    found = store.rows("SELECT id, map FROM sessions WHERE fingerprint = ?", fingerprint)
    return (found[0]["id"], found[0]["map"]) if found else None


def fingerprint_of(name: str, source: BaseSource) -> str:
    """What tells a recording from others: its name, its frames' topics and stamps."""
    digest = hashlib.sha256(name.encode())
    for stub in source.stubs():
        digest.update(f"{stub.camera}\0{stub.topic}\0{stub.stamp_ns}\n".encode())
    return digest.hexdigest()


def thinned(stubs: Sequence[FrameStub], rate_hz: float) -> list[FrameStub]:
    """Of each camera at most ``rate_hz`` frames a second, the first of each span."""
    gap_ns = round(1e9 / rate_hz)
    # A camera of exactly this rate jitters: a frame that comes a tenth early is still taken.
    last: dict[str, int] = {}
    kept = []
    for stub in stubs:
        if stub.camera not in last or stub.stamp_ns - last[stub.camera] >= 0.9 * gap_ns:
            last[stub.camera] = stub.stamp_ns
            kept.append(stub)
    return kept


def remember(
    source: BaseSource,
    store: MemoryStore,
    name: str,
    *,
    fixed_frame: str = "map",
    wish: Wish = "check",
    find: FindMarks | None = None,
    config: MemoryConfig | None = None,
    progress: Progress | None = None,
) -> Remembered:
    """Take in a whole recording; continued where an earlier run of it ended.

    Args:
        source: of any kind; read once, frame by frame.
        store: open for writing.
        name: of the recording, for people.
        fixed_frame: of its poses.
        wish: how its alignment with what is known is decided (:func:`align`).
        find: a mark finder, such as ``detection_finder``; None is the project's own.
        config: settings.
        progress: wraps the frames that are read.

    Raises:
        AlignmentError: its poses are not in the memory's map; nothing of it is kept.
        NoFramesError: it holds no frame.
        MemoryStoreError: the quota is used up by rows of instances, or the disk is full.
    """
    config = config or MemoryConfig()
    stubs = thinned(source.stubs(), config.rate_hz)
    if not stubs:
        raise NoFramesError("the source holds no frame.", hint="see `oryx-scene check`")
    fingerprint = fingerprint_of(name, source)
    known = session_of(store, fingerprint)
    alignment = (
        Alignment(known[1], "continued")
        if known is not None
        else align(store, _sample(source, stubs), fixed_frame, wish, config.drift_m)
    )
    recorder = Recorder(
        store,
        name,
        fingerprint,
        alignment,
        fixed_frame,
        find=find,
        mountings=source.mountings(),
        config=config,
    )
    done = store.rows("SELECT done_ns FROM sessions WHERE id = ?", recorder.session)[0]["done_ns"]
    left = [stub for stub in stubs if done is None or stub.stamp_ns > done]
    source.begin_pass(left)
    for stub in progress(left) if progress else left:
        try:
            frame = source.load(stub)
        except OryxSceneError as err:
            recorder.warnings[left_out(stub, err)] = None
            continue
        recorder.add(frame)
    return recorder.close()


def _sample(source: BaseSource, stubs: Sequence[FrameStub]) -> Iterable[Frame]:
    """Frames spread over a recording, decoded one at a time."""
    chosen = np.unique(np.linspace(0, len(stubs) - 1, ALIGNING_FRAMES).round().astype(int))
    for index in chosen:
        try:
            yield source.load(stubs[index])
        except OryxSceneError:
            # Named when its turn comes.
            continue
