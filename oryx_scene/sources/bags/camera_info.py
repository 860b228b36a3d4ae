"""What CameraInfo messages say about rays: intrinsics of a picture, and where its camera stands.

REP 104: a raw picture goes by K and D, a rectified one (image_rect*) by P without distortion; the
region of interest and binning change both, as image_geometry reads them. R turns the camera to the
rectified one, P's fourth column moves it along the stereo baseline. One code for bags and the node.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from oryx_scene.errors import CalibrationError
from oryx_scene.geometry.camera import intrinsics_from_camera_info
from oryx_scene.geometry.transforms import ROTATION_TOLERANCE, invert
from oryx_scene.records import FloatArray, Intrinsics
from oryx_scene.sources.bags.topics import is_rectified, parts_of, words_of

# Baselines that differ by less are one camera's, metres.
SAME_PLACE_M = 1e-4
_SIDES = ({"left", "l"}, {"right", "r"})


@dataclass(frozen=True, eq=False)
class CameraModel:
    """One CameraInfo, read for one picture topic.

    Attributes:
        intrinsics: of the picture beside it.
        rectified: whether the picture is.
        T_rectified_raw: (4, 4) turns points of the raw camera to the rectified one (R).
        baseline: (x, y) metres from the first camera of a stereo pair to this one, in the rectified
            frame: -P[0,3] / P[0,0] and -P[1,3] / P[1,1].
    """

    intrinsics: Intrinsics
    rectified: bool
    T_rectified_raw: FloatArray
    baseline: tuple[float, float]

    @property
    def shifted(self) -> bool:
        """Whether it is the second camera of a stereo pair."""
        return float(np.hypot(*self.baseline)) > SAME_PLACE_M

    def own_place(self) -> FloatArray:
        """T_frame_camera (4, 4) where frame_id is this camera's own: only R turns a picture."""
        return invert(self.T_rectified_raw) if self.rectified else np.eye(4)

    def shared_place(self, first: CameraModel | None) -> FloatArray:
        """T_frame_camera (4, 4) where frame_id is that of the pair's first camera.

        Without ``first`` that one is taken for a camera that R does not turn.
        """
        along = np.eye(4)
        along[:2, 3] = self.baseline
        T = along if first is None else invert(first.T_rectified_raw) @ along
        return T if self.rectified else T @ self.T_rectified_raw


def numbers_of(info: Any) -> tuple[Any, ...]:
    """Everything after the header of a CameraInfo, comparable: all of it moves rays."""
    roi = info.roi
    return (
        (int(info.height), int(info.width), str(info.distortion_model)),
        tuple(tuple(map(float, _field(info, name))) for name in "dkrp"),
        (int(info.binning_x), int(info.binning_y)),
        (int(roi.x_offset), int(roi.y_offset), int(roi.height), int(roi.width)),
        bool(roi.do_rectify),
    )


def _field(info: Any, name: str) -> Any:
    # ROS 1 spells it K, ROS 2 k.
    return getattr(info, name.upper()) if hasattr(info, name.upper()) else getattr(info, name)


def camera_model(message: Any, name: str, topic: str) -> CameraModel:
    """Read a sensor_msgs/CameraInfo of ROS 1 or 2 for the picture on ``topic``.

    Raises:
        CalibrationError: numbers that cannot be a camera.
    """
    K, D, R, P = (np.array([float(v) for v in _field(message, key)]) for key in "kdrp")
    rectified = is_rectified(topic)
    model = str(message.distortion_model)
    P = P.reshape(3, 4) if P.size == 12 else np.zeros((3, 4))
    if rectified and P[0, 0] != 0:
        K, D, model = P[:, :3].ravel(), np.zeros(0), "none"
    elif rectified and np.any(D):
        raise CalibrationError(
            name,
            "its picture is rectified, but the CameraInfo gives no P for it.",
            hint="publish the projection matrix, or give a rig file (--rig)",
        )
    roi = message.roi
    intrinsics = intrinsics_from_camera_info(
        K.tolist(),
        D.tolist(),
        model,
        int(message.height),
        int(message.width),
        name,
        binning=(int(message.binning_x), int(message.binning_y)),
        roi=(int(roi.x_offset), int(roi.y_offset), int(roi.height), int(roi.width)),
    )
    baseline = (0.0, 0.0)
    if np.isfinite(P).all() and P[0, 0] > 0 and P[1, 1] > 0:
        baseline = (float(-P[0, 3] / P[0, 0]), float(-P[1, 3] / P[1, 1]))
    needs_R = rectified or float(np.hypot(*baseline)) > SAME_PLACE_M
    return CameraModel(intrinsics, rectified, _rotation(R, name, needs_R), baseline)


def _rotation(R: FloatArray, name: str, needed: bool) -> FloatArray:
    """(4, 4) of R; zeros, which uncalibrated drivers send, and what is not needed turn nothing."""
    T = np.eye(4)
    if R.size != 9 or not np.any(R):
        return T
    T[:3, :3] = R.reshape(3, 3)
    off = float(np.abs(T[:3, :3] @ T[:3, :3].T - np.eye(3)).max())
    if np.isfinite(off) and off < ROTATION_TOLERANCE and np.linalg.det(T[:3, :3]) > 0:
        return T
    if needed:
        raise CalibrationError(name, "R of its CameraInfo is no rotation.")
    return np.eye(4)


@dataclass(frozen=True)
class Placed:
    """How a camera's place follows from its frame_id.

    Attributes:
        first: name of the stereo pair's first camera if frame_id is that one's, "" if it is the
            camera's own.
        unknown: why the place cannot be told; "" if it can.
    """

    first: str = ""
    unknown: str = ""


@dataclass(frozen=True, eq=False)
class Named:
    """One camera for :func:`place_cameras`.

    Attributes:
        topic: of its pictures.
        frame_id: of its pictures.
        model: its calibration.
        tree: of transforms that it is looked up in; the same frame_id in another one is another.
    """

    topic: str
    frame_id: str
    model: CameraModel | None
    tree: int = 0


def place_cameras(
    cameras: Mapping[str, Named], same_picture: Callable[[str, str], bool]
) -> dict[str, Placed]:
    """Which cameras stand where their frame_id is, and which only share it with another one.

    By the ROS stereo convention both pictures of a pair carry the left frame_id, and the right
    camera's place follows from its P; other drivers give each camera a frame of its own, and fill
    in P all the same. Told apart by who else has the frame_id, then by the names. Two cameras of
    one frame_id that show different pictures cannot both stand there: neither place is known.

    Args:
        cameras: by our name.
        same_picture: whether two cameras show one picture; only asked where they share a frame_id.
    """
    return {name: _placed(name, cameras, same_picture) for name in cameras}


def _placed(
    name: str, cameras: Mapping[str, Named], same_picture: Callable[[str, str], bool]
) -> Placed:
    own = cameras[name]
    sharing = {
        other: item
        for other, item in cameras.items()
        if (item.frame_id, item.tree) == (own.frame_id, own.tree)
        and not _one_device(item.topic, own.topic)
    }
    alike = [
        other
        for other, item in sharing.items()
        if own.frame_id
        and _same_place(item.model, own.model)
        and (_opposed(item.topic, own.topic) or not same_picture(name, other))
    ]
    if alike:
        names = ", ".join(f"'{other}'" for other in sorted([name, *alike]))
        return Placed(
            unknown=f"{names} have one frame_id, '{own.frame_id}', and nothing says how they "
            "stand to each other"
        )
    if own.model is None or not own.model.shifted:
        return Placed()
    firsts = [
        other
        for other, item in sorted(sharing.items())
        if item.model is not None and not item.model.shifted
    ]
    if firsts:
        return Placed(first=firsts[0])
    return _by_names(own, cameras)


def _by_names(own: Named, cameras: Mapping[str, Named]) -> Placed:
    """A second stereo camera whose frame_id no first one shares."""
    topic, frame = words_of(own.topic), words_of(own.frame_id)
    for ours, theirs in (_SIDES, _SIDES[::-1]):
        if topic & ours and frame & theirs and not frame & ours:
            return _first_by_rotation(own)
    if any(_tells(word) for word in topic & frame):
        return Placed()
    others = [item for item in cameras.values() if item.frame_id != own.frame_id]
    if any(item.model is not None and not item.model.shifted for item in others):
        return Placed()
    return Placed(
        unknown=f"P says that it stands {own.model.baseline[0]:.3f} m beside the first camera of a "  # type: ignore[union-attr]
        f"stereo pair, and nothing says whether '{own.frame_id}' is that one's frame or its own"
    )


def _first_by_rotation(own: Named) -> Placed:
    """The first camera was not recorded; without a turn of its own it is known all the same."""
    assert own.model is not None
    if np.allclose(own.model.T_rectified_raw, np.eye(4), atol=1e-9):
        return Placed(first=FIRST_UNSEEN)
    return Placed(
        unknown=f"'{own.frame_id}' is the first camera's of a stereo pair, whose CameraInfo (R) "
        "was not recorded"
    )


# Stands for a first camera that was not recorded and is not turned.
FIRST_UNSEEN = "\0unseen"


def _tells(word: str) -> bool:
    """Whether a word tells one camera of a pair from the other."""
    return any(word in side for side in _SIDES) or word[-1:].isdigit()


def _opposed(a: str, b: str) -> bool:
    """Whether the names of two topics tell left from right, or one number from another."""
    first, second = words_of(a), words_of(b)
    return any(_tells(word) for word in first - second) and any(
        _tells(word) for word in second - first
    )


def _one_device(a: str, b: str) -> bool:
    """Whether two picture topics are one camera's: one namespace, e.g. raw and rectified."""
    return _device(a) == _device(b)


def _device(topic: str) -> list[set[str]]:
    # A processing step may have a namespace of its own below or above the camera's.
    kept = [words_of(part) - _STEPS for part in parts_of(topic)[:-1]]
    return [words for words in kept if words]


_STEPS = {
    *("color", "colour", "rgb", "mono", "gray", "image", "raw", "rect", "rectified", "data"),
    *("resize", "resized", "throttle", "throttled", "compressed", "crop", "cropped", "half"),
    *("low", "small", "preview", "republished", "undistorted", "proc"),
}


def _same_place(a: CameraModel | None, b: CameraModel | None) -> bool:
    if a is None or b is None:
        return True
    return float(np.hypot(*np.subtract(a.baseline, b.baseline))) < SAME_PLACE_M
