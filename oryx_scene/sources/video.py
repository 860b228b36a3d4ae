"""A video file as one camera: frames are decoded when asked for, and counted at its own rate."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import cv2

from oryx_scene.errors import ImageDecodeError, SourceError
from oryx_scene.file_kind import file_kind
from oryx_scene.geometry.turning import T_camera_turned, turned
from oryx_scene.records import FloatArray, Frame
from oryx_scene.sources.base import BaseSource, FrameStub, OpenOptions, SourceKind
from oryx_scene.sources.camera_poses import CameraPoses
from oryx_scene.sources.file_names import readable_name
from oryx_scene.sources.folder_cameras import camera_name
from oryx_scene.warning import Warning

# What a video without a stated rate is taken for.
DEFAULT_RATE_HZ = 30.0
# Decoding so many frames on is quicker than seeking to a key frame.
_MOST_SKIPPED = 60


class VideoSource(BaseSource):
    """Frames of a video file, upright as the file says.

    Args:
        path: the file.
        options: a rig's intrinsics and mounting of a camera named after the file.

    Raises:
        SourceError: OpenCV cannot read it, or no frame is in it.
    """

    def __init__(self, path: Path, options: OpenOptions) -> None:
        self._path = path
        with _quiet():
            self._capture = cv2.VideoCapture(str(path))
            count = self._count()
        if count == 0:
            raise SourceError(
                path,
                "no frame of this video can be decoded.",
                hint="is it complete? convert it with `ffmpeg -i IN -c:v libx264 OUT.mp4`",
            )
        stated = self._capture.get(cv2.CAP_PROP_FPS)
        rate_hz = stated if 0.1 < stated < 1000 else DEFAULT_RATE_HZ
        name, topic = camera_name(path.stem), readable_name(path.name)
        # Stamp zero means "not stamped" in ROS: the first frame is at one second.
        stamps = [1_000_000_000 + round(index * 1e9 / rate_hz) for index in range(count)]
        super().__init__(
            [FrameStub(name, stamp, stamp, topic, index) for index, stamp in enumerate(stamps)],
            stills=True,
        )
        advice = "give a rig file (--rig)"
        self._poses = CameraPoses(options, {name: None}, advice=advice)
        text = f"a video has no stamps: its frames are counted at {rate_hz:.5g} Hz"
        self._warnings += [Warning("no_stamps", text), *self._poses.warnings]
        if self._poses.rig_camera(name).intrinsics is None:
            text = "a video has no camera matrix: no 3D places"
            self._warnings.append(Warning("no_camera_info", text, camera=name, advice=advice))
        self._next = -1

    def _count(self) -> int:
        """Frames in the file; those of a file that does not say are counted by decoding."""
        if not self._capture.isOpened():
            return 0
        stated = int(self._capture.get(cv2.CAP_PROP_FRAME_COUNT))
        if stated > 0 and self._capture.grab():
            return stated
        count = 0
        while self._capture.grab():
            count += 1
        return count

    def load(self, stub: FrameStub) -> Frame:
        """Decode one frame; neighbours in their order cost no seeking.

        Raises:
            ImageDecodeError: the video ends earlier, or is damaged there.
        """
        with _quiet():
            bgr = self._read(stub.serial)
        if bgr is None:
            raise ImageDecodeError(
                stub.camera, f"frame {stub.serial} of {self._path.name} cannot be decoded"
            )
        rgb = cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB)
        rgb.flags.writeable = False
        warnings: list[Warning] = []
        size = (rgb.shape[0], rgb.shape[1])
        intrinsics = self._poses.rig_intrinsics(stub.camera, size, warnings)
        pose = self._poses.at(stub.camera, stub.stamp_ns, warnings)
        found = Frame(
            camera=stub.camera,
            stamp_ns=stub.stamp_ns,
            frame_id=self._poses.frame_id(stub.camera),
            rgb=rgb,
            sha256=hashlib.sha256(rgb.tobytes()).hexdigest(),
            topic=stub.topic,
            encoding=self._path.suffix.lstrip(".").lower(),
            intrinsics=intrinsics,
            T_fixed_camera=pose,
            fixed_frame=self._poses.fixed_frame if pose is not None else "",
            warnings=tuple(warnings),
        )
        return turned(found, self._poses.rig_camera(stub.camera).rotate_deg)

    def _read(self, index: int) -> cv2.typing.MatLike | None:
        ahead = index - self._next
        if not 0 <= ahead <= _MOST_SKIPPED or self._next < 0:
            self._capture.set(cv2.CAP_PROP_POS_FRAMES, index)
            ahead = 0
        for _ in range(ahead):
            self._capture.grab()
        found, bgr = self._capture.read()
        self._next = index + 1 if found else -1
        return bgr if found else None

    def mountings(self) -> Mapping[str, tuple[str, FloatArray]]:
        """Of cameras that the rig places; none where poses are the camera's own."""
        return self._poses.mountings

    def pose(self, stub: FrameStub) -> FloatArray | None:
        """T_fixed_camera (4, 4) by the rig's mounting; None without one."""
        T = self._poses.at(stub.camera, stub.stamp_ns, [])
        turn = T_camera_turned(self._poses.rig_camera(stub.camera).rotate_deg)
        return None if T is None else T @ turn


@contextmanager
def _quiet() -> Iterator[None]:
    """OpenCV writes its own lines about what our errors say."""
    # FFmpeg writes too, unless told so before it is first used.
    os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")
    logging = cv2.utils.logging
    before = logging.setLogLevel(logging.LOG_LEVEL_SILENT)
    try:
        yield
    finally:
        logging.setLogLevel(before)


KIND = SourceKind(
    "video",
    "one file that OpenCV can read (mp4, mov, avi, mkv, webm, ...)",
    lambda path: path.is_file() and file_kind(path).role == "video",
    VideoSource,
)
