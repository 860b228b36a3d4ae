"""What every source of recorded frames is: stubs that are listed, frames that are decoded.

A source is indexed without decoding anything; pictures are decoded one at a time when they are
asked for, so that memory does not grow with the recording.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from oryx_scene.errors import OryxSceneError
from oryx_scene.geometry.rig import Rig
from oryx_scene.records import FloatArray, Frame
from oryx_scene.warning import Warning


@dataclass(frozen=True)
class FrameStub:
    """One frame that could be decoded.

    Attributes:
        camera: our name.
        stamp_ns: capture time from the message header.
        log_ns: when it was recorded; equals ``stamp_ns`` outside bags.
        topic: topic or file.
        serial: running number within its topic.
    """

    camera: str
    stamp_ns: int
    log_ns: int
    topic: str
    serial: int


def left_out(stub: FrameStub, err: OryxSceneError) -> Warning:
    """What to say of a frame that cannot be decoded."""
    return Warning(
        "frame_left_out",
        f"left out a frame of '{stub.camera}': {err.message}",
        camera=stub.camera,
        topic=stub.topic,
        stamp_ns=stub.stamp_ns,
        advice=err.hint,
    )


class FrameSource(Protocol):
    """Where recorded frames come from."""

    @property
    def cameras(self) -> tuple[str, ...]:
        """Our names of the cameras, sorted."""
        ...

    @property
    def warnings(self) -> tuple[Warning, ...]:
        """What is missing or doubtful about the whole source."""
        ...

    @property
    def synthetic(self) -> bool:
        """Whether the frames were rendered, not recorded."""
        ...

    @property
    def stills(self) -> bool:
        """Whether the frames are pictures that somebody put together, not a camera's stream."""
        ...

    @property
    def counted(self) -> bool:
        """Whether stamps only count the frames and mean no time."""
        ...

    def stubs(self) -> Sequence[FrameStub]:
        """All frames in the order of their stamps, nothing decoded."""
        ...

    def load(self, stub: FrameStub) -> Frame:
        """Decode one frame.

        Raises:
            ImageDecodeError: its payload is broken.
        """
        ...

    def pose(self, stub: FrameStub) -> FloatArray | None:
        """T_fixed_camera (4, 4) of one frame without decoding it; None where it is not known."""
        ...

    def frames(self, start_ns: int | None = None, end_ns: int | None = None) -> Iterator[Frame]:
        """Decode frames one after the other; broken ones are left out and counted in warnings."""
        ...


class BaseSource(ABC):
    """What the kinds of sources share: the list of stubs, the pass over all frames, warnings.

    Args:
        stubs: all frames, in any order.
        synthetic: whether the frames were rendered, not recorded.
        stills: the frames are pictures that somebody put together: none is passed over for being
            near another in time, and how many are used is said.
        counted: stamps only count the frames and mean no time.
    """

    def __init__(
        self,
        stubs: Sequence[FrameStub],
        *,
        synthetic: bool = False,
        stills: bool = False,
        counted: bool = False,
    ) -> None:
        self._stubs = tuple(
            sorted(stubs, key=lambda stub: (stub.stamp_ns, stub.camera, stub.serial))
        )
        self._synthetic = synthetic
        self._stills = stills
        self._counted = counted
        self._warnings: list[Warning] = []

    @property
    def cameras(self) -> tuple[str, ...]:
        """Our names of the cameras, sorted."""
        return tuple(sorted({stub.camera for stub in self._stubs}))

    @property
    def warnings(self) -> tuple[Warning, ...]:
        """What is missing or doubtful about the whole source, each said once."""
        return tuple(dict.fromkeys(self._warnings))

    @property
    def synthetic(self) -> bool:
        """Whether the frames were rendered, not recorded."""
        return self._synthetic

    @property
    def stills(self) -> bool:
        """Whether the frames are pictures that somebody put together, not a camera's stream."""
        return self._stills

    @property
    def counted(self) -> bool:
        """Whether stamps only count the frames and mean no time."""
        return self._counted

    def stubs(self) -> Sequence[FrameStub]:
        """All frames in the order of their stamps."""
        return self._stubs

    @abstractmethod
    def load(self, stub: FrameStub) -> Frame:
        """Decode one frame."""

    @abstractmethod
    def pose(self, stub: FrameStub) -> FloatArray | None:
        """T_fixed_camera (4, 4) of one frame without decoding it; None where it is not known."""

    def mountings(self) -> Mapping[str, tuple[str, FloatArray]]:
        """Optical frame -> (base frame, T_base_camera) of the cameras that a rig places."""
        return {}

    def begin_pass(self, wanted: Sequence[FrameStub]) -> None:  # noqa: B027
        """Get ready to load these frames one after the other; nothing to do for most sources."""

    def frames(self, start_ns: int | None = None, end_ns: int | None = None) -> Iterator[Frame]:
        """Decode the frames of a span one after the other.

        Broken ones are left out, and named in :attr:`warnings`.
        """
        wanted = [
            stub
            for stub in self._stubs
            if (start_ns is None or stub.stamp_ns >= start_ns)
            and (end_ns is None or stub.stamp_ns <= end_ns)
        ]
        self.begin_pass(wanted)
        for stub in wanted:
            try:
                yield self.load(stub)
            except OryxSceneError as err:
                self._warnings.append(left_out(stub, err))


@dataclass(frozen=True)
class OpenOptions:
    """What a user may say about any source.

    Attributes:
        rig: calibration that fills in or overrides what the recording lacks.
        fixed_frame: coordinate frame of poses.
    """

    rig: Rig | None = None
    fixed_frame: str = "map"


@dataclass(frozen=True)
class SourceKind:
    """One kind of source in the registry.

    Attributes:
        name: for messages, e.g. "ROS bag".
        layout: what it looks like on disk, one line for the documentation.
        recognises: whether an existing path is of this kind, by first bytes or layout; opens no
            more than it needs to say so, and raises nothing.
        open: path and options -> source; raises SourceError or CalibrationError.
    """

    name: str
    layout: str
    recognises: Callable[[Path], bool]
    open: Callable[[Path, OpenOptions], BaseSource]
