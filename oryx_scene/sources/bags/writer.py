"""Writing ROS 2 bags (mcap or sqlite3) of pictures, depth, calibration and transforms.

On top of the rosbags library; message types are those of ROS 2 Humble, which every later release
reads. Stamps are the caller's, nothing is read from a clock, so that equal input gives equal bags.
"""

from __future__ import annotations

import dataclasses
import errno
import shutil
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType, TracebackType
from typing import Any

import numpy as np

from oryx_scene.errors import OryxSceneError, OutputError
from oryx_scene.geometry.transforms import invert, rotation_to_quaternion
from oryx_scene.records import DepthImage, FloatArray, Intrinsics, RgbImage
from oryx_scene.sources.base import BaseSource


class BagWriter:
    """Writes one bag folder; use as a context manager.

    Args:
        path: folder to make; must not exist.
        storage: "mcap" or "sqlite3".
        compress: the chunks of an mcap, with zstd.

    Raises:
        OutputError: the folder exists or cannot be made.
    """

    def __init__(self, path: str | Path, *, storage: str = "mcap", compress: bool = False) -> None:
        from rosbags.rosbag2 import (
            CompressionFormat,
            CompressionMode,
            StoragePlugin,
            Writer,
            WriterError,
        )
        from rosbags.typesys import Stores, get_typestore

        self.path = Path(path)
        self._store = get_typestore(Stores.ROS2_HUMBLE)
        self._types: Any = self._store.types
        self._connections: dict[tuple[str, str], Any] = {}
        plugin = StoragePlugin.MCAP if storage == "mcap" else StoragePlugin.SQLITE3
        if storage != "mcap" and set("#?%") & set(str(self.path)):
            # The library would write the database under another name.
            hint = "choose another name, or storage mcap"
            raise OutputError(self.path, "a database cannot have #, ? or % in its path", hint=hint)
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._writer = Writer(self.path, version=9, storage_plugin=plugin)
            if compress:
                self._writer.set_compression(CompressionMode.STORAGE, CompressionFormat.ZSTD)
            self._writer.open()
        except WriterError as err:
            hint = "choose another name or remove it first"
            raise OutputError(self.path, f"{err}.", hint=hint) from err
        except OSError as err:
            raise OutputError(self.path, err.strerror or str(err)) from err

    def __enter__(self) -> BagWriter:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Write what is left, the index and metadata.yaml.

        Raises:
            OutputError: the disk is full or the folder is gone.
        """
        try:
            self._writer.close()
        except OSError as err:
            raise self._failed(err) from err

    def flush(self) -> None:
        """Bring what is held back into the file: a reader from front to back finds it there.

        Raises:
            OutputError: the disk is full or the folder is gone.
        """
        storage: Any = self._writer.storage
        try:
            # Of an mcap; a database holds nothing back but what is not yet committed.
            if storage is not None and hasattr(storage, "close_chunk"):
                storage.close_chunk()
                storage.bio.flush()
        except OSError as err:
            raise self._failed(err) from err

    def _failed(self, err: OSError) -> OutputError:
        hint = "free some space" if err.errno in (errno.ENOSPC, errno.EDQUOT) else ""
        return OutputError(self.path, err.strerror or str(err), hint=hint)

    # -- messages ------------------------------------------------------------------------------

    def write(self, topic: str, msgtype: str, stamp_ns: int, message: Any) -> None:
        """Write one message of a ROS 2 type recorded at ``stamp_ns``.

        Raises:
            OutputError: the disk is full or the folder is gone.
        """
        key = (topic, msgtype)
        try:
            if key not in self._connections:
                self._connections[key] = self._writer.add_connection(
                    topic, msgtype, typestore=self._store
                )
            data = self._store.serialize_cdr(message, msgtype)
            self._writer.write(self._connections[key], stamp_ns, data)
        except OSError as err:
            raise self._failed(err) from err

    def type(self, name: str) -> Any:
        """The class of a message type, e.g. "std_msgs/msg/String"."""
        return self._types[name]

    def header(self, stamp_ns: int, frame_id: str) -> Any:
        """A std_msgs/Header."""
        return self.type("std_msgs/msg/Header")(self.time(stamp_ns), frame_id)

    def time(self, stamp_ns: int) -> Any:
        """A builtin_interfaces/Time."""
        return self.type("builtin_interfaces/msg/Time")(
            stamp_ns // 1_000_000_000, stamp_ns % 1_000_000_000
        )

    def add_image(self, topic: str, stamp_ns: int, frame_id: str, rgb: RgbImage) -> None:
        """sensor_msgs/Image, rgb8, from (H, W, 3) uint8."""
        self._image(topic, stamp_ns, frame_id, rgb, "rgb8", 3)

    def add_depth(
        self, topic: str, stamp_ns: int, frame_id: str, depth: DepthImage, *, metres: bool = False
    ) -> None:
        """sensor_msgs/Image of depth: 16UC1 millimetres, or 32FC1 metres (REP-118)."""
        if metres:
            self._image(topic, stamp_ns, frame_id, depth.astype("<f4"), "32FC1", 4)
            return
        millimetres = np.nan_to_num(depth.astype(np.float64) * 1000.0, nan=0.0)
        steps = np.clip(np.rint(millimetres), 0, 65535).astype("<u2")
        self._image(topic, stamp_ns, frame_id, steps, "16UC1", 2)

    def _image(
        self, topic: str, stamp_ns: int, frame_id: str, pixels: Any, encoding: str, size: int
    ) -> None:
        height, width = int(pixels.shape[0]), int(pixels.shape[1])
        data = np.ascontiguousarray(pixels).view(np.uint8).reshape(-1)
        message = self.type("sensor_msgs/msg/Image")(
            header=self.header(stamp_ns, frame_id),
            height=height,
            width=width,
            encoding=encoding,
            is_bigendian=0,
            step=width * size,
            data=data,
        )
        self.write(topic, "sensor_msgs/msg/Image", stamp_ns, message)

    def add_compressed(
        self, topic: str, stamp_ns: int, frame_id: str, data: bytes, format_text: str
    ) -> None:
        """sensor_msgs/CompressedImage from encoded bytes."""
        message = self.type("sensor_msgs/msg/CompressedImage")(
            header=self.header(stamp_ns, frame_id),
            format=format_text,
            data=np.frombuffer(data, dtype=np.uint8),
        )
        self.write(topic, "sensor_msgs/msg/CompressedImage", stamp_ns, message)

    def add_camera_info(
        self, topic: str, stamp_ns: int, frame_id: str, intrinsics: Intrinsics
    ) -> None:
        """sensor_msgs/CameraInfo; P repeats K."""
        model = intrinsics.distortion_model
        D = intrinsics.D
        if model == "none":
            model, D = "plumb_bob", np.zeros(5)
        P = np.zeros((3, 4))
        P[:, :3] = intrinsics.K
        roi = self.type("sensor_msgs/msg/RegionOfInterest")(0, 0, 0, 0, False)
        message = self.type("sensor_msgs/msg/CameraInfo")(
            header=self.header(stamp_ns, frame_id),
            height=intrinsics.height,
            width=intrinsics.width,
            distortion_model=model,
            d=np.asarray(D, dtype=np.float64),
            k=intrinsics.K.reshape(-1).astype(np.float64),
            r=np.eye(3).reshape(-1),
            p=P.reshape(-1),
            binning_x=0,
            binning_y=0,
            roi=roi,
        )
        self.write(topic, "sensor_msgs/msg/CameraInfo", stamp_ns, message)

    def add_transform(
        self,
        parent: str,
        child: str,
        stamp_ns: int,
        T_parent_child: FloatArray,
        *,
        static: bool = False,
    ) -> None:
        """One transform on /tf or /tf_static."""
        t, q = T_parent_child[:3, 3], rotation_to_quaternion(T_parent_child[:3, :3])
        vector = self.type("geometry_msgs/msg/Vector3")(*map(float, t))
        rotation = self.type("geometry_msgs/msg/Quaternion")(*map(float, q))
        stamped = self.type("geometry_msgs/msg/TransformStamped")(
            header=self.header(stamp_ns, parent),
            child_frame_id=child,
            transform=self.type("geometry_msgs/msg/Transform")(vector, rotation),
        )
        message = self.type("tf2_msgs/msg/TFMessage")([stamped])
        topic = "/tf_static" if static else "/tf"
        self.write(topic, "tf2_msgs/msg/TFMessage", stamp_ns, message)

    def add_text(self, topic: str, stamp_ns: int, text: str) -> None:
        """std_msgs/String."""
        message = self.type("std_msgs/msg/String")(text)
        self.write(topic, "std_msgs/msg/String", stamp_ns, message)


def write_source(source: Any, path: str | Path, *, storage: str = "mcap") -> int:
    """Write all frames of a source as a ROS 2 bag; returns how many.

    Each camera gets `/<camera>/image_raw`, `/<camera>/camera_info`, `/<camera>/depth/image_raw`
    (16UC1, registered) with its camera_info, and its pose on /tf; where a rig places a camera on
    its base, the mounting goes to /tf_static and the pose of the base to /tf. Cameras that share a
    frame_id (a stereo pair) get one each.

    Raises:
        OutputError: the folder exists, or the disk is full; a half-written folder is removed.
    """
    count = 0
    try:
        with BagWriter(path, storage=storage) as writer:
            if source.synthetic:
                writer.add_text("/oryx_scene/synthetic", 0, "rendered by oryx_scene")
            mountings = source.mountings() if isinstance(source, BaseSource) else {}
            frame_ids: dict[str, str] = {}
            for found in source.frames():
                if not count:
                    for frame_id, (base, T) in mountings.items():
                        writer.add_transform(base, frame_id, found.stamp_ns, T, static=True)
                write_frame(writer, found, frame_ids, mountings)
                count += 1
    except OryxSceneError:
        if count:
            shutil.rmtree(path, ignore_errors=True)
        raise
    return count


def _with_own_frame_id(frame: Any, frame_ids: dict[str, str]) -> Any:
    """A frame whose frame_id no other camera has; ``frame_ids`` are those of cameras so far."""
    if frame.camera not in frame_ids:
        taken = not frame.frame_id or frame.frame_id in frame_ids.values()
        frame_ids[frame.camera] = f"{frame.camera}_optical_frame" if taken else frame.frame_id
    return dataclasses.replace(frame, frame_id=frame_ids[frame.camera])


def write_frame(
    writer: BagWriter,
    frame: Any,
    frame_ids: dict[str, str],
    mountings: Mapping[str, tuple[str, FloatArray]] = MappingProxyType({}),
) -> None:
    """Write picture, depth, calibration and pose of one frame, as :func:`write_source` does.

    Args:
        writer: of the bag.
        frame: to write.
        frame_ids: of the bag's cameras so far; added to.
        mountings: optical frame -> (base frame, T_base_camera) that are on /tf_static.

    Raises:
        OutputError: the disk is full or the folder is gone.
    """
    frame = _with_own_frame_id(frame, frame_ids)
    base, stamp_ns = f"/{frame.camera}", frame.stamp_ns
    frame_id = frame.frame_id
    if frame.T_fixed_camera is not None:
        child, T = frame_id, frame.T_fixed_camera
        if frame_id in mountings:
            child, T_base_camera = mountings[frame_id]
            T = T @ invert(T_base_camera)
        if child != frame.fixed_frame:
            writer.add_transform(frame.fixed_frame, child, stamp_ns, T)
    if frame.intrinsics is not None:
        writer.add_camera_info(f"{base}/camera_info", stamp_ns, frame_id, frame.intrinsics)
    writer.add_image(f"{base}/image_raw", stamp_ns, frame_id, frame.rgb)
    if frame.depth is not None and frame.intrinsics is not None:
        writer.add_camera_info(f"{base}/depth/camera_info", stamp_ns, frame_id, frame.intrinsics)
        writer.add_depth(f"{base}/depth/image_raw", stamp_ns, frame_id, frame.depth)
