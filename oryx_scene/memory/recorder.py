"""Writing a memory: frames in, rows and pictures out, in bounded memory.

The same recorder takes the frames of a recording (:func:`remember`) and those of a live node
(:meth:`Recorder.add`). It reads no clock but for committing at least once a second.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from oryx_scene.errors import ConfigError
from oryx_scene.frames import Frame, MarkSet, ViewSet
from oryx_scene.marks.config import MarksConfig
from oryx_scene.marks.finder import find_marks
from oryx_scene.memory.store import MemoryStore
from oryx_scene.sources.base import BaseSource, FrameStub
from oryx_scene.warning import Warning

FindMarks = Callable[[ViewSet, MarksConfig, str], MarkSet]


@dataclass(frozen=True)
class MemoryConfig:
    """How a memory is written.

    Attributes:
        rate_hz: of each camera at most so many frames a second are taken in.
        window: newest frames in which things are looked for together.
        step: new frames until things are looked for again.
        localised_only: frames without a pose are not recorded (they are counted).
        most_shift_m, most_turn_rad: frames whose source says that its pose is worse than this do
            not count as localised.
        keyframe_every_s: of each camera at least one keyframe in so many seconds.
        keyframe_gap_s: and no more than one in so many, whatever changes.
        picture_side: longest side of a kept picture, pixels.
        jpeg_quality: 1..95.
        depth: keep depth of keyframes too.
    """

    rate_hz: float = 2.0
    window: int = 8
    step: int = 8
    localised_only: bool = True
    most_shift_m: float = 0.5
    most_turn_rad: float = 0.2
    keyframe_every_s: float = 10.0
    keyframe_gap_s: float = 1.0
    picture_side: int = 640
    jpeg_quality: int = 85
    depth: bool = True

    def __post_init__(self) -> None:
        if not 1 <= self.step <= self.window:
            raise ConfigError("memory: 1 <= step <= window expected.")


@dataclass(frozen=True)
class Remembered:
    """What one session brought.

    Attributes:
        session: row of the table ``sessions``.
        frames: taken in by this run.
        not_localised: frames that were not recorded because nothing knows where they are.
        instances, moved, gone: counts of this run: new instances, those found at another place,
            and those whose place was looked through.
        keyframes: kept.
        warnings: what is missing or doubtful.
    """

    session: int
    frames: int
    not_localised: int
    instances: int
    moved: int
    gone: int
    keyframes: int
    warnings: tuple[Warning, ...] = ()


class Recorder:
    """One session of a memory that is being written.

    Args:
        store: open for writing.
        source: name of the recording or run, and ``fingerprint`` of what it holds: a session of the
            same fingerprint is continued where it ended.
        alignment: "check" (default: measured against what the memory knows; refused where the
            poses do not fit or nothing can be compared), "same" (the user says that the frame is
            the same; still refused where it is measured not to be), "apart" (a map of its own).
        find: the mark finder.
        config: settings.
    """

    def __init__(
        self,
        store: MemoryStore,
        source: str,
        fingerprint: str,
        alignment: str = "check",
        find: FindMarks = find_marks,
        config: MemoryConfig | None = None,
    ) -> None:
        raise NotImplementedError

    def add(self, frame: Frame) -> None:
        """Take in the next frame; stamps of one camera ascend.

        Raises:
            AlignmentError: the poses are not in the map's frame; nothing of this session is kept.
            MemoryStoreError: the quota is used up by rows of instances.
        """
        raise NotImplementedError

    def close(self) -> Remembered:
        """Take in what is left and end the session."""
        raise NotImplementedError


def remember(
    source: BaseSource,
    store: MemoryStore,
    name: str,
    *,
    alignment: str = "check",
    find: FindMarks = find_marks,
    config: MemoryConfig | None = None,
    progress: Callable[[Sequence[FrameStub]], Iterable[FrameStub]] | None = None,
) -> Remembered:
    """Take in a whole recording; continued where an earlier run of it ended.

    Raises:
        AlignmentError, MemoryStoreError: as for :meth:`Recorder.add`.
    """
    raise NotImplementedError
