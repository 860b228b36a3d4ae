"""Folders of posed RGB-D frames in the 3DMatch / 7-Scenes layout.

`camera-intrinsics.txt` (3x3 K), `seq-*/frame-NNNNNN.{color.png,depth.png,pose.txt}`; depth is
uint16 millimetres, the pose takes camera points to the world, metres. The layout knows no stamps:
the frame number counts at 30 Hz, which is said in a warning.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np

from oryx_scene.bags.compressed import decode_compressed_depth, decode_compressed_image
from oryx_scene.errors import CalibrationError, ImageDecodeError, SourceError
from oryx_scene.frames import FloatArray, Frame, Intrinsics
from oryx_scene.geometry.camera import check_intrinsics
from oryx_scene.geometry.transforms import check_transform
from oryx_scene.sources.base import BaseSource, FrameStub, SourceKind
from oryx_scene.warning import Warning

FRAME_RATE_HZ = 30
OPTICAL_FRAME = "camera_optical_frame"
POSE_ADVICE = "write a camera-to-world matrix of 4x4 numbers beside each picture"


class RgbdFolder(BaseSource):
    """One moving RGB-D camera per sequence folder.

    Args:
        path: the folder.
        fixed_frame: name given to the world of the poses.

    Raises:
        SourceError: no frames, or no usable intrinsics file.
    """

    def __init__(self, path: Path, fixed_frame: str) -> None:
        self._path = path
        self._fixed_frame = fixed_frame
        self._K = self._read_K()
        sequences = sorted(item for item in path.glob("seq-*") if item.is_dir())
        self._folders = {
            "camera" if len(sequences) == 1 else item.name.replace("-", "_"): item
            for item in sequences
        }
        stubs = [stub for camera in sorted(self._folders) for stub in self._list(camera)]
        if not stubs:
            raise SourceError(
                path,
                "there is no seq-*/frame-*.color.png.",
                hint="the layout is described in docs/sources.md",
            )
        super().__init__(stubs)
        text = f"this layout has no stamps: frame numbers are counted at {FRAME_RATE_HZ} Hz"
        self._warnings.append(Warning("no_stamps", text))

    def _read_K(self) -> FloatArray:
        file = self._path / "camera-intrinsics.txt"
        try:
            K = np.loadtxt(file, dtype=np.float64)
        except (OSError, ValueError) as err:
            raise SourceError(file, f"no 3x3 matrix of numbers ({err}).") from err
        if K.shape != (3, 3):
            raise SourceError(file, f"3x3 numbers were expected, got shape {K.shape}.")
        return K

    def _list(self, camera: str) -> list[FrameStub]:
        stubs: list[FrameStub] = []
        for file in sorted(self._folders[camera].glob("frame-*.color.png")):
            digits = file.name.removeprefix("frame-").split(".")[0]
            if digits.isdigit():
                # Stamp zero means "not stamped" in ROS: the first frame is at one second.
                stamp_ns = 1_000_000_000 + int(digits) * 1_000_000_000 // FRAME_RATE_HZ
                stubs.append(FrameStub(camera, stamp_ns, stamp_ns, str(file.name), len(stubs)))
        return stubs

    def load(self, stub: FrameStub) -> Frame:
        """Decode one frame with its depth and pose."""
        color = self._folders[stub.camera] / stub.topic
        base = str(color)[: -len(".color.png")]
        data = self._read(stub.camera, color)
        rgb = decode_compressed_image(stub.camera, "", data)
        intrinsics = check_intrinsics(
            Intrinsics(self._K, rgb.shape[0], rgb.shape[1]), str(self._path)
        )
        warnings: list[Warning] = []
        depth, depth_hash = None, ""
        depth_file = Path(base + ".depth.png")
        if depth_file.exists():
            payload = self._read(stub.camera, depth_file)
            depth = decode_compressed_depth(stub.camera, "", payload)
            depth_hash = hashlib.sha256(payload).hexdigest()
            if depth.shape != rgb.shape[:2]:
                text = f"depth is {depth.shape[1]}x{depth.shape[0]} and was left out"
                warnings.append(Warning("depth_left_out", text, topic=depth_file.name))
                depth, depth_hash = None, ""
        else:
            warnings.append(Warning("no_depth", "there is no depth file"))
        pose = self._read_pose(Path(base + ".pose.txt"), warnings)
        return Frame(
            camera=stub.camera,
            stamp_ns=stub.stamp_ns,
            frame_id=OPTICAL_FRAME,
            rgb=rgb,
            sha256=hashlib.sha256(data).hexdigest(),
            topic=stub.topic,
            encoding="png",
            depth=depth,
            depth_sha256=depth_hash,
            intrinsics=intrinsics,
            T_fixed_camera=pose,
            fixed_frame=self._fixed_frame if pose is not None else "",
            warnings=tuple(warnings),
        )

    def _read(self, camera: str, file: Path) -> bytes:
        try:
            return file.read_bytes()
        except OSError as err:
            raise ImageDecodeError(camera, f"{file.name} cannot be read: {err.strerror}") from err

    def pose(self, stub: FrameStub) -> FloatArray | None:
        """T_fixed_camera (4, 4) of one frame without decoding it; None without a pose file."""
        name = stub.topic.removesuffix(".color.png") + ".pose.txt"
        return self._read_pose(self._folders[stub.camera] / name, [])

    def _read_pose(self, file: Path, warnings: list[Warning]) -> FloatArray | None:
        try:
            return check_transform(np.loadtxt(file, dtype=np.float64), file.name)
        except (OSError, ValueError):
            text = "there is no pose file with 4x4 numbers: no 3D places"
            warnings.append(Warning("no_pose", text, topic=file.name, advice=POSE_ADVICE))
        except CalibrationError as err:
            text = f"{err.message} The pose was left out: no 3D places"
            warnings.append(Warning("no_pose", text, topic=file.name, advice=POSE_ADVICE))
        return None


def _recognises(path: Path) -> bool:
    return (path / "camera-intrinsics.txt").exists() or any(path.glob("seq-*"))


KIND = SourceKind(
    "posed RGB-D folder (3DMatch, 7-Scenes)",
    "`camera-intrinsics.txt`, `seq-*/frame-*.{color.png,depth.png,pose.txt}`",
    _recognises,
    lambda path, options: RgbdFolder(path, options.fixed_frame),
)
