"""Frames of a dumped question as files: colour as PNG, depth as float32 .npy, the rest as JSON.

Lossless both ways; every file is checked against its digest when it is read. Digests of the
*received* payloads (``Frame.sha256``) are kept beside: they find the message in a bag, while the
digests here prove that the dumped pixels are whole.
"""

from __future__ import annotations

import hashlib
import io
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from oryx_scene.atomic_io import png_bytes, write_bytes
from oryx_scene.dump.plain import PlainError, from_plain
from oryx_scene.errors import CalibrationError, SourceError
from oryx_scene.geometry.camera import check_intrinsics
from oryx_scene.geometry.transforms import check_transform
from oryx_scene.records import DepthImage, FloatArray, Frame, Intrinsics, RgbImage
from oryx_scene.warning import Warning


@dataclass(frozen=True)
class IntrinsicsRecord:
    """:class:`oryx_scene.records.Intrinsics` without arrays; ``K`` row-major."""

    K: tuple[float, ...]
    height: int
    width: int
    distortion_model: str
    D: tuple[float, ...]


@dataclass(frozen=True)
class FrameRecord:
    """:class:`oryx_scene.records.Frame` without arrays, and where its pixels are.

    Attributes:
        rgb_file, depth_file: beside the JSON; ``depth_file`` is "" without depth.
        rgb_file_sha256, depth_file_sha256: of these files.
        T_fixed_camera: 16 numbers row-major, or None.
    """

    camera: str
    stamp_ns: int
    frame_id: str
    topic: str
    encoding: str
    height: int
    width: int
    sha256: str
    depth_sha256: str
    rgb_file: str
    rgb_file_sha256: str
    depth_file: str
    depth_file_sha256: str
    intrinsics: IntrinsicsRecord | None
    T_fixed_camera: tuple[float, ...] | None
    fixed_frame: str
    warnings: tuple[Warning, ...]
    pose_std: tuple[float, float] | None = None
    turned_deg: int = 0


def write_frame(folder: Path, index: int, frame: Frame) -> FrameRecord:
    """Write the pixels of ``frame`` into ``folder`` and describe it.

    Raises:
        OutputError: a file cannot be written.
    """
    stem = f"view_{index:03d}"
    rgb_file, depth_file, depth_digest = f"{stem}.png", "", ""
    rgb_digest = _write(folder / rgb_file, png_bytes(frame.rgb))
    if frame.depth is not None:
        depth_file = f"{stem}.depth.npy"
        depth_digest = _write(folder / depth_file, _npy_bytes(frame.depth))
    return FrameRecord(
        camera=frame.camera,
        stamp_ns=frame.stamp_ns,
        frame_id=frame.frame_id,
        topic=frame.topic,
        encoding=frame.encoding,
        height=frame.height,
        width=frame.width,
        sha256=frame.sha256,
        depth_sha256=frame.depth_sha256,
        rgb_file=rgb_file,
        rgb_file_sha256=rgb_digest,
        depth_file=depth_file,
        depth_file_sha256=depth_digest,
        intrinsics=_intrinsics_record(frame.intrinsics),
        T_fixed_camera=None if frame.T_fixed_camera is None else _numbers(frame.T_fixed_camera),
        fixed_frame=frame.fixed_frame,
        pose_std=frame.pose_std,
        turned_deg=frame.turned_deg,
        warnings=frame.warnings,
    )


def _write(path: Path, data: bytes) -> str:
    write_bytes(path, data)
    return hashlib.sha256(data).hexdigest()


def _npy_bytes(depth: DepthImage) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, np.ascontiguousarray(depth, dtype="<f4"), allow_pickle=False)
    return buffer.getvalue()


def _numbers(array: FloatArray) -> tuple[float, ...]:
    return tuple(float(value) for value in np.asarray(array).reshape(-1))


def _intrinsics_record(intrinsics: Intrinsics | None) -> IntrinsicsRecord | None:
    if intrinsics is None:
        return None
    return IntrinsicsRecord(
        K=_numbers(intrinsics.K),
        height=intrinsics.height,
        width=intrinsics.width,
        distortion_model=intrinsics.distortion_model,
        D=_numbers(intrinsics.D),
    )


def read_record(value: object, path: str) -> FrameRecord:
    """The record of one frame from its JSON.

    Raises:
        PlainError: something does not fit.
    """
    record = from_plain(FrameRecord, value, path)
    for name in (record.rgb_file, record.depth_file):
        # A name that leads out of the folder is never opened.
        if name and (Path(name).name != name or name.startswith(".")):
            raise PlainError(path, "the name of a file in the folder", name)
    if record.T_fixed_camera is not None and len(record.T_fixed_camera) != 16:
        raise PlainError(f"{path}.T_fixed_camera", "16 numbers", record.T_fixed_camera)
    if record.intrinsics is not None and len(record.intrinsics.K) != 9:
        raise PlainError(f"{path}.intrinsics.K", "9 numbers", record.intrinsics.K)
    if record.height < 1 or record.width < 1:
        raise PlainError(path, "a picture of at least 1x1", (record.height, record.width))
    return record


def read_frame(folder: Path, record: FrameRecord) -> Frame:
    """The frame that :func:`write_frame` kept, bit for bit.

    Raises:
        SourceError: a file is missing, damaged, or of another size than described.
    """
    rgb = _read_rgb(folder, record)
    depth = _read_depth(folder, record) if record.depth_file else None
    try:
        intrinsics = _intrinsics(record)
        pose = None
        if record.T_fixed_camera is not None:
            numbers = np.array(record.T_fixed_camera, dtype=np.float64).reshape(4, 4)
            pose = check_transform(numbers, f"the pose of '{record.camera}'")
    except CalibrationError as err:
        raise SourceError(folder, err.message) from err
    return Frame(
        camera=record.camera,
        stamp_ns=record.stamp_ns,
        frame_id=record.frame_id,
        rgb=rgb,
        sha256=record.sha256,
        topic=record.topic,
        encoding=record.encoding,
        depth=depth,
        depth_sha256=record.depth_sha256,
        intrinsics=intrinsics,
        T_fixed_camera=pose,
        fixed_frame=record.fixed_frame,
        pose_std=record.pose_std,
        turned_deg=record.turned_deg,
        warnings=record.warnings,
    )


def _intrinsics(record: FrameRecord) -> Intrinsics | None:
    described = record.intrinsics
    if described is None:
        return None
    return check_intrinsics(
        Intrinsics(
            K=np.array(described.K, dtype=np.float64).reshape(3, 3),
            height=described.height,
            width=described.width,
            distortion_model=described.distortion_model,
            D=np.array(described.D, dtype=np.float64),
        ),
        record.camera,
    )


def _read(folder: Path, name: str, digest: str) -> bytes:
    try:
        data = (folder / name).read_bytes()
    except OSError as err:
        raise SourceError(folder, f"{name} cannot be read: {err.strerror}.") from err
    if hashlib.sha256(data).hexdigest() != digest:
        raise SourceError(
            folder, f"{name} is damaged: its digest is not the one written.", hint="dump again"
        )
    return data


def _read_rgb(folder: Path, record: FrameRecord) -> RgbImage:
    data = _read(folder, record.rgb_file, record.rgb_file_sha256)
    try:
        with Image.open(io.BytesIO(data), formats=["PNG"]) as image:
            rgb = np.array(image)
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as err:
        raise SourceError(folder, f"{record.rgb_file} is no readable PNG ({err}).") from err
    _check_shape(folder, record.rgb_file, rgb, (record.height, record.width, 3), np.uint8)
    return rgb


def _read_depth(folder: Path, record: FrameRecord) -> DepthImage:
    data = _read(folder, record.depth_file, record.depth_file_sha256)
    try:
        depth = np.load(io.BytesIO(data), allow_pickle=False)
    except (OSError, ValueError, EOFError, MemoryError) as err:
        raise SourceError(folder, f"{record.depth_file} is no readable .npy ({err}).") from err
    _check_shape(folder, record.depth_file, depth, (record.height, record.width), np.float32)
    return np.asarray(depth)


def _check_shape(folder: Path, name: str, array: Any, shape: tuple[int, ...], dtype: Any) -> None:
    if array.shape != shape or array.dtype != dtype:
        raise SourceError(
            folder,
            f"{name} holds {array.dtype} of shape {array.shape}, "
            f"{np.dtype(dtype)} of shape {shape} was described.",
        )
