"""A memory as a source of frames: its keyframes, so that it can be checked, asked and compared."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np

from oryx_scene.errors import SourceError
from oryx_scene.geometry.camera import scaled_depth
from oryx_scene.memory.keyframes import DEPTH_UNIT_M, intrinsics_of
from oryx_scene.memory.store import DATABASE, open_memory
from oryx_scene.records import FloatArray, Frame
from oryx_scene.sources.base import BaseSource, FrameStub, OpenOptions, SourceKind
from oryx_scene.sources.picture_file import decode_depth_file, decode_picture, read_file
from oryx_scene.warning import Warning


class MemorySource(BaseSource):
    """Keyframes of a memory that still have their pictures, of the map that has most of them.

    Args:
        path: the memory's folder.

    Raises:
        MemoryStoreError: it cannot be read.
        SourceError: no picture is left.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        with open_memory(path) as store:
            counts = store.rows(
                "SELECT m.id, m.frame_id, count(k.id) AS n FROM maps m JOIN sessions s ON s.map = "
                "m.id JOIN keyframes k ON k.session = s.id WHERE k.picture NOT NULL "
                "GROUP BY m.id ORDER BY n DESC, m.id"
            )
            if not counts:
                raise SourceError(path, "this memory holds no picture.", hint="raise its --quota")
            self._frame_id = str(counts[0]["frame_id"])
            rows = store.rows(
                "SELECT k.* FROM keyframes k JOIN sessions s ON s.id = k.session "
                "WHERE s.map = ? AND k.picture NOT NULL",
                counts[0]["id"],
            )
        self._rows = {int(row["id"]): row for row in rows}
        super().__init__(
            [
                FrameStub(
                    row["camera"], row["stamp_ns"], row["stamp_ns"], row["picture"], row["id"]
                )
                for row in rows
            ]
        )
        if len(counts) > 1:
            left = sum(row["n"] for row in counts[1:])
            text = f"{left} keyframes of maps that are kept apart are left out"
            self._warnings.append(Warning("memory_map_left_out", text))

    def load(self, stub: FrameStub) -> Frame:
        """One keyframe."""
        row = self._rows[stub.serial]
        data = read_file(stub.camera, self._path / row["picture"])
        rgb = decode_picture(stub.camera, data)
        height, width = rgb.shape[:2]
        depth, depth_sha256 = None, ""
        if row["depth"] is not None:
            steps = read_file(stub.camera, self._path / row["depth"])
            depth_sha256 = hashlib.sha256(steps).hexdigest()
            small = decode_depth_file(stub.camera, steps, DEPTH_UNIT_M)
            depth = scaled_depth(small, height, width)
        std = None if row["shift_std"] is None else (row["shift_std"], row["turn_std"])
        return Frame(
            stub.camera,
            stub.stamp_ns,
            row["frame_id"],
            rgb,
            hashlib.sha256(data).hexdigest(),
            topic=row["picture"],
            encoding="jpeg",
            depth=depth,
            depth_sha256=depth_sha256,
            intrinsics=intrinsics_of(row["intrinsics"]),
            T_fixed_camera=self.pose(stub),
            fixed_frame=self._frame_id,
            pose_std=std,
        )

    def pose(self, stub: FrameStub) -> FloatArray | None:
        """T_fixed_camera (4, 4) of a keyframe."""
        return np.frombuffer(self._rows[stub.serial]["pose"], "<f8").reshape(4, 4).copy()

    def say_rig_unused(self) -> None:
        """Keyframes keep the calibration and poses that they were recorded with."""
        text = "keyframes of a memory keep their calibration and poses: the rig file is not used"
        self._warnings.append(Warning("rig_unused", text))


def _open(path: Path, options: OpenOptions) -> MemorySource:
    source = MemorySource(path)
    if options.rig is not None:
        source.say_rig_unused()
    return source


KIND = SourceKind(
    "memory",
    "a folder of `oryx-scene remember`: its keyframes",
    lambda path: (path / DATABASE).is_file(),
    _open,
)
