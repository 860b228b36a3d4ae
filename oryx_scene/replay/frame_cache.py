"""A source that remembers the frames it decoded last: neighbouring moments share most of them.

Bounded by bytes, least recently used first out.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator, Sequence

from oryx_scene.records import FloatArray, Frame
from oryx_scene.sources.base import FrameSource, FrameStub
from oryx_scene.warning import Warning

_Key = tuple[str, str, int]


def _key(stub: FrameStub) -> _Key:
    return stub.camera, stub.topic, stub.serial


def _bytes(frame: Frame) -> int:
    return frame.rgb.nbytes + (0 if frame.depth is None else frame.depth.nbytes)


class RecentFrames:
    """A FrameSource in front of another one.

    Args:
        source: where frames come from.
        max_bytes: bound on the pixels kept.
    """

    def __init__(self, source: FrameSource, max_bytes: int = 256 * 2**20) -> None:
        self._source = source
        self._max_bytes = max_bytes
        self._frames: OrderedDict[_Key, Frame] = OrderedDict()
        self._held = 0
        self._stubs: Sequence[FrameStub] | None = None
        self.frames_read = 0

    @property
    def cameras(self) -> tuple[str, ...]:
        """Names of the cameras."""
        return self._source.cameras

    @property
    def warnings(self) -> tuple[Warning, ...]:
        """Of the source behind."""
        return self._source.warnings

    @property
    def synthetic(self) -> bool:
        """Whether the frames were rendered."""
        return self._source.synthetic

    @property
    def stills(self) -> bool:
        """Whether the frames are pictures that somebody put together."""
        return self._source.stills

    @property
    def counted(self) -> bool:
        """Whether stamps only count the frames."""
        return self._source.counted

    def stubs(self) -> Sequence[FrameStub]:
        """All frames, listed once."""
        if self._stubs is None:
            self._stubs = self._source.stubs()
        return self._stubs

    def load(self, stub: FrameStub) -> Frame:
        """Decode one frame, or hand out the one decoded before."""
        key = _key(stub)
        if key in self._frames:
            self._frames.move_to_end(key)
            return self._frames[key]
        frame = self._source.load(stub)
        self.frames_read += 1
        self._frames[key] = frame
        self._held += _bytes(frame)
        while self._held > self._max_bytes and len(self._frames) > 1:
            _, old = self._frames.popitem(last=False)
            self._held -= _bytes(old)
        return frame

    def pose(self, stub: FrameStub) -> FloatArray | None:
        """Of the source behind."""
        return self._source.pose(stub)

    def frames(self, start_ns: int | None = None, end_ns: int | None = None) -> Iterator[Frame]:
        """Of the source behind, not kept."""
        return self._source.frames(start_ns, end_ns)
