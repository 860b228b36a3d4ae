"""Dumped questions (docs/dump.md) as steps to look at: one folder, or a folder of them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from oryx_scene.dump.folder import is_dump, read_dump
from oryx_scene.records import FloatArray, Frame
from oryx_scene.view.snapshot import take_snapshot
from oryx_scene.view.step import Step, answer_step


def dump_folders(path: Path) -> tuple[Path, ...]:
    """``path`` if it is a dump, else the dumps in it by name; empty where there is none."""
    if is_dump(path):
        return (path,)
    if not path.is_dir():
        return ()
    return tuple(item for item in sorted(path.iterdir()) if is_dump(item))


class DumpStory:
    """A ``view.step.Story`` of dumped questions, read one at a time.

    Args:
        folders: at least one, of :func:`dump_folders`.
        voxel_m: of the fused cloud.
    """

    def __init__(self, folders: Sequence[Path], *, voxel_m: float = 0.02) -> None:
        self._folders = tuple(folders)
        self._voxel_m = voxel_m
        self._last: tuple[int, Step] | None = None

    def __len__(self) -> int:
        return len(self._folders)

    def __getitem__(self, index: int) -> Step:
        """The step at ``index``.

        Raises:
            SourceError: the dump is damaged or of another version.
        """
        if self._last is None or self._last[0] != index:
            self._last = (index, self._step(index))
        return self._last[1]

    def _step(self, index: int) -> Step:
        dump = read_dump(self._folders[index])
        place = f", {index + 1} of {len(self)}" if len(self) > 1 else ""
        snapshot = take_snapshot(dump.frames, path=_path(dump.frames), voxel_m=self._voxel_m)
        return answer_step(f"dump {dump.folder.name}{place}", dump.answer, snapshot)


def _path(frames: Sequence[Frame]) -> FloatArray:
    """(P, 3) places of the newest frame's camera in the dump's frames, oldest first."""
    camera = max(frames, key=lambda frame: frame.stamp_ns).camera
    own = sorted((f for f in frames if f.camera == camera), key=lambda frame: frame.stamp_ns)
    places = [f.T_fixed_camera[:3, 3] for f in own if f.T_fixed_camera is not None]
    return np.array(places).reshape(-1, 3)
