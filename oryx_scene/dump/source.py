"""A dumped question as a source of frames, so that new questions can be asked about its views."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from oryx_scene.bags.source import FrameStub
from oryx_scene.dump.folder import read_dump
from oryx_scene.frames import FloatArray, Frame


class DumpSource:
    """The frames of one dumped question.

    Args:
        path: the folder.

    Raises:
        SourceError: it cannot be read.
    """

    def __init__(self, path: Path) -> None:
        dump = read_dump(path)
        self.cameras = tuple(sorted({frame.camera for frame in dump.frames}))
        self.warnings: tuple[str, ...] = ()
        self.synthetic = dump.synthetic
        order = sorted(dump.frames, key=lambda frame: (frame.stamp_ns, frame.camera))
        self._frames = {
            FrameStub(frame.camera, frame.stamp_ns, frame.stamp_ns, frame.topic, index): frame
            for index, frame in enumerate(order)
        }

    def stubs(self) -> Sequence[FrameStub]:
        """All frames."""
        return list(self._frames)

    def load(self, stub: FrameStub) -> Frame:
        """One frame, decoded when the folder was opened."""
        return self._frames[stub]

    def pose(self, stub: FrameStub) -> FloatArray | None:
        """T_fixed_camera (4, 4) of one frame, None where it was not known."""
        return self._frames[stub].T_fixed_camera

    def frames(self, start_ns: int | None = None, end_ns: int | None = None) -> Iterator[Frame]:
        """The frames in the order of their stamps."""
        for stub, frame in self._frames.items():
            early = start_ns is not None and stub.stamp_ns < start_ns
            late = end_ns is not None and stub.stamp_ns > end_ns
            if not early and not late:
                yield frame
