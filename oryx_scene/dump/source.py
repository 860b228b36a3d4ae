"""A dumped question as a source of frames, so that new questions can be asked about its views."""

from __future__ import annotations

from pathlib import Path

from oryx_scene.dump.folder import read_dump
from oryx_scene.records import FloatArray, Frame
from oryx_scene.sources.base import BaseSource, FrameStub, OpenOptions, SourceKind
from oryx_scene.warning import Warning


class DumpSource(BaseSource):
    """The frames of one dumped question.

    Args:
        path: the folder.

    Raises:
        SourceError: it cannot be read.
    """

    def __init__(self, path: Path) -> None:
        dump = read_dump(path)
        order = sorted(dump.frames, key=lambda frame: (frame.stamp_ns, frame.camera))
        self._frames = {
            FrameStub(frame.camera, frame.stamp_ns, frame.stamp_ns, frame.topic, index): frame
            for index, frame in enumerate(order)
        }
        super().__init__(list(self._frames), synthetic=dump.synthetic)

    def say_rig_unused(self) -> None:
        """A dump repeats what was asked about: its calibration and poses stay as they are."""
        text = "a dumped question keeps its calibration and poses: the rig file is not used"
        self._warnings.append(Warning("rig_unused", text))

    def load(self, stub: FrameStub) -> Frame:
        """One frame, decoded when the folder was opened."""
        return self._frames[stub]

    def pose(self, stub: FrameStub) -> FloatArray | None:
        """T_fixed_camera (4, 4) of one frame, None where it was not known."""
        return self._frames[stub].T_fixed_camera


def _open(path: Path, options: OpenOptions) -> DumpSource:
    source = DumpSource(path)
    if options.rig is not None:
        source.say_rig_unused()
    return source


KIND = SourceKind(
    "dumped question",
    "a folder of `ask --dump` or `~/dump_query`: `dump.json` and the pictures beside it",
    lambda path: (path / "dump.json").is_file(),
    _open,
)
