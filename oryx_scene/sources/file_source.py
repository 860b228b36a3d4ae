"""Frames whose pictures, depth and poses are files: what all layouts of folders share.

A layout only says which files belong together (:class:`FileCamera`); reading, calibration, the rig,
depth of another size and poses are the same for all of them.
"""

from __future__ import annotations

import dataclasses
import hashlib
from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from oryx_scene.errors import CalibrationError, OryxSceneError, SourceError
from oryx_scene.geometry.camera import register_depth, same_aspect, scaled_depth, scaled_to
from oryx_scene.geometry.turning import T_camera_turned, turned
from oryx_scene.records import DepthImage, FloatArray, Frame, Intrinsics
from oryx_scene.sources.bags.depth import DEPTH_SLOP_S
from oryx_scene.sources.base import BaseSource, FrameStub, OpenOptions
from oryx_scene.sources.camera_file import StatedCamera
from oryx_scene.sources.camera_poses import CameraPoses
from oryx_scene.sources.file_names import readable_name
from oryx_scene.sources.picture_file import decode_depth_file, decode_picture, read_file
from oryx_scene.sources.pose_file import Trajectory, read_pose_matrix
from oryx_scene.warning import Warning

_MATRIX_ADVICE = "write the depth camera's 3x3 matrix to depth-intrinsics.txt in the folder"


@dataclass(frozen=True)
class FileFrame:
    """The files of one frame; ``pose`` holds one T_world_camera."""

    stamp_ns: int
    color: Path
    depth: Path | None = None
    pose: Path | None = None


@dataclass(frozen=True, eq=False)
class FileCamera:
    """One camera of a layout.

    Attributes:
        name: our name; the rig's too.
        frames: in any order.
        color, depth: camera matrices of the pictures and of the depth files, where a file has them.
            Without ``depth`` a depth file of the picture's size lies over the picture.
        depth_unit_m: metres per step of 16-bit depth.
        trajectory: poses over time, for frames without a pose file.
        T_base_camera: mounting that the layout itself states, with ``base_frame``.
        turn_upright: obey an EXIF orientation.
    """

    name: str
    frames: tuple[FileFrame, ...]
    color: StatedCamera | None = None
    depth: StatedCamera | None = None
    depth_unit_m: float = 0.001
    trajectory: Trajectory | None = None
    turn_upright: bool = False


def nearest_file(files: list[tuple[int, Path]], stamp: int) -> Path | None:
    """The file whose stamp is nearest; None if none lies within the slop."""
    place = bisect_left(files, (stamp, Path()))
    near = min(files[max(0, place - 1) : place + 1], key=lambda f: abs(f[0] - stamp), default=None)
    if near is None or abs(near[0] - stamp) > round(DEPTH_SLOP_S * 1e9):
        return None
    return near[1]


class FileSource(BaseSource):
    """A source whose frames are files.

    Args:
        path: what the user gave; topics are file names relative to it.
        cameras: what belongs together.
        options: rig and fixed frame; the rig's numbers win over those of the folder.
        warnings: what the layout has to say.
        base_trajectory: poses of the rig's base frame, where the poses are not a camera's.
        stills, counted: as in ``BaseSource``.

    Raises:
        SourceError: no frame at all.
    """

    def __init__(
        self,
        path: Path,
        cameras: Sequence[FileCamera],
        options: OpenOptions,
        warnings: Sequence[Warning] = (),
        base_trajectory: Trajectory | None = None,
        *,
        stills: bool = False,
        counted: bool = False,
    ) -> None:
        self._root = path if path.is_dir() else path.parent
        self._files = {camera.name: camera for camera in cameras}
        stubs = [stub for camera in cameras for stub in self._stubs_of(camera)]
        super().__init__(stubs, stills=stills, counted=counted)
        if not self._stubs:
            raise SourceError(path, "there is no frame in it.", hint="see docs/sources.md")
        self._poses = CameraPoses(
            options,
            {camera.name: camera.trajectory for camera in cameras},
            base_trajectory,
            pose_files=any(frame.pose for camera in cameras for frame in camera.frames),
        )
        self._warnings += [*warnings, *self._poses.warnings]
        self._warnings += self._uncalibrated()

    def _uncalibrated(self) -> list[Warning]:
        if any(item.code == "calibration_unusable" for item in self._warnings):
            return []
        text = "there is no file with a camera matrix: no 3D places"
        advice = "write camera-intrinsics.txt (3x3) into the folder, or give a rig file (--rig)"
        return [
            Warning("no_camera_info", text, camera=name, advice=advice)
            for name, camera in self._files.items()
            if camera.color is None and self._poses.rig_camera(name).intrinsics is None
        ]

    def _stubs_of(self, camera: FileCamera) -> list[FrameStub]:
        return [
            FrameStub(
                camera.name,
                frame.stamp_ns,
                frame.stamp_ns,
                readable_name(frame.color.relative_to(self._root).as_posix()),
                serial,
            )
            for serial, frame in enumerate(camera.frames)
        ]

    def mountings(self) -> Mapping[str, tuple[str, FloatArray]]:
        """Of cameras that the rig places; none where poses are the camera's own."""
        return self._poses.mountings

    def pose(self, stub: FrameStub) -> FloatArray | None:
        """T_fixed_camera (4, 4) of one frame without decoding it; None where it is not known."""
        T = self._pose(stub, [])
        turn = T_camera_turned(self._poses.rig_camera(stub.camera).rotate_deg)
        return None if T is None else T @ turn

    def _pose(self, stub: FrameStub, warnings: list[Warning]) -> FloatArray | None:
        frame = self._files[stub.camera].frames[stub.serial]
        if frame.pose is not None:
            try:
                return read_pose_matrix(frame.pose)
            except CalibrationError as err:
                text = f"{err.message} The pose was left out: no 3D places"
                warnings.append(Warning("pose_unusable", text, topic=frame.pose.name))
            except SourceError as err:
                text = f"{err.message} No 3D places"
                warnings.append(Warning("pose_unusable", text, topic=frame.pose.name))
            return None
        return self._poses.at(stub.camera, stub.stamp_ns, warnings)

    # -- loading -------------------------------------------------------------------------------

    def load(self, stub: FrameStub) -> Frame:
        """Decode one frame with its depth, calibration and pose.

        Raises:
            ImageDecodeError: the picture is broken or cannot be read.
        """
        camera = self._files[stub.camera]
        frame = camera.frames[stub.serial]
        warnings: list[Warning] = []
        data = read_file(stub.camera, frame.color)
        rgb = decode_picture(stub.camera, data, turn_upright=camera.turn_upright)
        size = (rgb.shape[0], rgb.shape[1])
        depth, depth_hash = self._read_depth(camera, frame, warnings)
        intrinsics = self._intrinsics(camera, size, depth, warnings)
        if depth is not None:
            depth = _over_picture(depth, camera.depth, intrinsics, size, warnings)
        pose = self._pose(stub, warnings)
        found = Frame(
            camera=stub.camera,
            stamp_ns=stub.stamp_ns,
            frame_id=self._poses.frame_id(stub.camera),
            rgb=rgb,
            sha256=hashlib.sha256(data).hexdigest(),
            topic=stub.topic,
            encoding=frame.color.suffix.lstrip(".").lower(),
            depth=depth,
            depth_sha256=depth_hash if depth is not None else "",
            intrinsics=intrinsics,
            T_fixed_camera=pose,
            fixed_frame=self._poses.fixed_frame if pose is not None else "",
            warnings=tuple(dataclasses.replace(item, camera=stub.camera) for item in warnings),
        )
        return turned(found, self._poses.rig_camera(stub.camera).rotate_deg)

    def _read_depth(
        self, camera: FileCamera, frame: FileFrame, warnings: list[Warning]
    ) -> tuple[DepthImage | None, str]:
        if frame.depth is None:
            if any(other.depth for other in camera.frames):
                warnings.append(Warning("no_depth", "there is no depth file"))
            return None, ""
        try:
            data = read_file(camera.name, frame.depth)
            depth = self._metres(camera, data)
        except OryxSceneError as err:
            text = f"depth left out: {err.message}"
            warnings.append(
                Warning("depth_left_out", text, topic=frame.depth.name, advice=err.hint)
            )
            return None, ""
        return depth, hashlib.sha256(data).hexdigest()

    def _metres(self, camera: FileCamera, data: bytes) -> DepthImage:
        """Unit and scale by the rig, else the unit of the layout."""
        stated = self._poses.rig_camera(camera.name)
        unit_m = camera.depth_unit_m if stated.depth_unit_m is None else stated.depth_unit_m
        depth = decode_depth_file(camera.name, data, unit_m)
        return depth if stated.depth_scale == 1.0 else depth * np.float32(stated.depth_scale)

    def _intrinsics(
        self,
        camera: FileCamera,
        size: tuple[int, int],
        depth: DepthImage | None,
        warnings: list[Warning],
    ) -> Intrinsics | None:
        """Of the rig, else of the folder; None with the reason where neither fits the picture."""
        if self._poses.rig_camera(camera.name).intrinsics is not None:
            return self._poses.rig_intrinsics(camera.name, size, warnings)
        if camera.color is None:
            return None
        file = camera.color.file.name
        scaled = _scaled_from_depth(camera.color, size, depth)
        if scaled is not None:
            text = "the matrix fits the size of the depth, not of the picture, and was scaled"
            warnings.append(Warning("calibration_scaled", text, topic=file))
            return scaled
        try:
            return camera.color.at(*size)
        except CalibrationError as err:
            text = f"{err.message} Calibration left out: no 3D places"
            warnings.append(Warning("calibration_unusable", text, topic=file, advice=err.hint))
            return None


def _scaled_from_depth(
    stated: StatedCamera, size: tuple[int, int], depth: DepthImage | None
) -> Intrinsics | None:
    """Intrinsics of the picture where the matrix is its depth image's, of one field of view."""
    if depth is None or depth.shape == size or not same_aspect(depth.shape, size):
        return None
    stated_size = (stated.height, stated.width)
    if stated_size != depth.shape and (stated_size != (0, 0) or stated.centred_in(*size)):
        return None
    try:
        return scaled_to(stated.at(depth.shape[0], depth.shape[1]), *size)
    except CalibrationError:
        return None


def _over_picture(
    depth: DepthImage,
    stated: StatedCamera | None,
    color: Intrinsics | None,
    size: tuple[int, int],
    warnings: list[Warning],
) -> DepthImage | None:
    """Depth (H, W) of the picture's size, or None with the reason.

    Registered by the depth camera's own matrix where one is given; else the layout's word is taken:
    equal sizes lie over each other, equal aspect ratios are taken for equal fields of view.
    """
    found = (depth.shape[0], depth.shape[1])
    if stated is not None:
        return _registered(depth, stated, color, warnings)
    if found == size:
        return depth
    sizes = f"depth is {found[1]}x{found[0]}, the picture {size[1]}x{size[0]}"
    if not same_aspect(found, size):
        text = f"{sizes}: nothing says how they lie over each other, depth was left out"
        warnings.append(Warning("depth_left_out", text, advice=_MATRIX_ADVICE))
        return None
    text = f"{sizes}: it was scaled, as if the fields of view were equal"
    warnings.append(Warning("depth_scaled", text))
    return scaled_depth(depth, *size)


def _registered(
    depth: DepthImage,
    stated: StatedCamera,
    color: Intrinsics | None,
    warnings: list[Warning],
) -> DepthImage | None:
    if color is None:
        text = "depth has a matrix of its own and the picture has none: depth was left out"
        warnings.append(Warning("depth_left_out", text))
        return None
    try:
        own = stated.at(depth.shape[0], depth.shape[1])
    except CalibrationError as err:
        text = f"depth left out: {err.message}"
        warnings.append(Warning("depth_left_out", text, topic=stated.file.name, advice=err.hint))
        return None
    same = (own.height, own.width) == (color.height, color.width)
    if same and np.allclose(own.K, color.K, rtol=1e-4) and np.array_equal(own.D, color.D):
        return depth
    return register_depth(depth, own, np.eye(4), color)
