"""What a view set looked like, without its full pixels: cameras, small pictures and a cloud.

A snapshot is enough to draw a scene again after the recording has gone. It knows no questions and
no answers; ``snapshot_file`` keeps it on disk.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import cv2
import numpy as np

from oryx_scene.geometry.transforms import invert, transform_points
from oryx_scene.records import FloatArray, Frame, RgbImage
from oryx_scene.view.cloud import FusedCloud, fuse_cloud
from oryx_scene.warning import Warning

PICTURE_SIDE_MAX = 640


@dataclass(frozen=True, eq=False)
class ViewCamera:
    """One camera of a view set.

    Attributes:
        camera: our name for it.
        stamp_ns: capture stamp of the picture.
        height, width: of the received image, pixels; ``K`` belongs to this size.
        picture: (h, w, 3) uint8, the received image, at most ``PICTURE_SIDE_MAX`` pixels a side.
        K: (3, 3) float64 or None.
        T_fixed_camera: (4, 4) float64, optical frame to ``Snapshot.frame_id``, or None.
    """

    camera: str
    stamp_ns: int
    height: int
    width: int
    picture: RgbImage
    K: FloatArray | None = None
    T_fixed_camera: FloatArray | None = None


@dataclass(frozen=True, eq=False)
class Snapshot:
    """The places and pictures of one view set.

    Attributes:
        cameras: in the order in which the model saw the views.
        cloud: fused from the views with depth and pose.
        frame_id: coordinate frame of poses, points and path; "" without any.
        path: (P, 3) float64 places of the newest camera over the recording, oldest first.
        warnings: what is not shown.
    """

    cameras: tuple[ViewCamera, ...]
    cloud: FusedCloud = field(default_factory=FusedCloud)
    frame_id: str = ""
    path: FloatArray = field(default_factory=lambda: np.zeros((0, 3)))
    warnings: tuple[Warning, ...] = ()


def shrink(image: RgbImage, side_max: int = PICTURE_SIDE_MAX) -> RgbImage:
    """``image`` (H, W, 3) so that no side exceeds ``side_max`` pixels, aspect ratio kept."""
    height, width = image.shape[:2]
    scale = side_max / max(height, width)
    if scale >= 1.0:
        return image
    # OpenCV sizes are (width, height).
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    return np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.uint8)


def _standing_alone(frame: Frame) -> Frame:
    """A single RGB-D frame without a pose, shown in its own optical frame."""
    return Frame(
        camera=frame.camera,
        stamp_ns=frame.stamp_ns,
        frame_id=frame.frame_id,
        rgb=frame.rgb,
        sha256=frame.sha256,
        depth=frame.depth,
        intrinsics=frame.intrinsics,
        T_fixed_camera=np.eye(4),
        fixed_frame=frame.frame_id,
    )


def take_snapshot(
    frames: Sequence[Frame],
    *,
    path: FloatArray | None = None,
    voxel_m: float = 0.02,
    max_points: int = 400_000,
    cloud: bool = True,
) -> Snapshot:
    """Keep what is needed to draw ``frames`` again.

    Where no frame has a pose, one with depth and intrinsics is shown in its own optical frame,
    with a warning: the others have no known place beside it.

    Args:
        frames: as the model saw them.
        path: (P, 3) metres in the frames' fixed frame, e.g. from ``offline.CameraPath``.
        voxel_m, max_points: of the cloud.
        cloud: False leaves the cloud empty, which costs most of the time.
    """
    shown = list(frames)
    warnings: tuple[Warning, ...] = ()
    if not any(frame.T_fixed_camera is not None for frame in frames):
        alone = next(
            (i for i, f in enumerate(frames) if f.depth is not None and f.intrinsics is not None),
            None,
        )
        if alone is not None:
            shown[alone] = _standing_alone(frames[alone])
            text = (
                f"no pose is known: only camera '{frames[alone].camera}' is shown in 3D, in its "
                "own optical frame"
            )
            warnings = (Warning("places_in_camera_frame", text),)
    fused = fuse_cloud(shown, voxel_m=voxel_m, max_points=max_points) if cloud else FusedCloud()
    cameras = tuple(_camera(frame) for frame in shown)
    frame_id = next((f.fixed_frame for f in shown if f.T_fixed_camera is not None), "")
    return Snapshot(
        cameras=cameras,
        cloud=fused,
        frame_id=frame_id,
        path=np.zeros((0, 3)) if path is None else path,
        warnings=(*warnings, *fused.warnings),
    )


def _camera(frame: Frame) -> ViewCamera:
    return ViewCamera(
        camera=frame.camera,
        stamp_ns=frame.stamp_ns,
        height=frame.height,
        width=frame.width,
        picture=shrink(frame.rgb),
        K=None if frame.intrinsics is None else frame.intrinsics.K,
        T_fixed_camera=frame.T_fixed_camera,
    )


def in_view(camera: ViewCamera, points: FloatArray) -> FloatArray:
    """Pixels (N, 2) of ``points`` (N, 3, in the fixed frame) by the pinhole model; NaN behind.

    Distortion is left out: good enough to place a label, not to measure.
    """
    assert camera.K is not None and camera.T_fixed_camera is not None
    local = transform_points(invert(camera.T_fixed_camera), points)
    z = np.where(local[:, 2] > 1e-6, local[:, 2], np.nan)
    uv = (local / z[:, None]) @ camera.K.T
    return np.asarray(uv[:, :2], np.float64)
