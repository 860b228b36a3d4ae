"""What is wrong with real frames: noisy depth, holes, wrong poses, late stamps, missing pictures.

Takes true frames and gives spoilt copies; true ids and colours stay. Seeded: equal seed, frames and
settings give equal results. Knows no worlds.
"""

from __future__ import annotations

import dataclasses
import hashlib
import math
import zlib
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from oryx_scene.errors import ConfigError
from oryx_scene.geometry.transforms import interpolate
from oryx_scene.records import DepthImage, FloatArray, Frame


@dataclass(frozen=True)
class NoiseConfig:
    """How frames are spoilt; all zero leaves them true.

    Attributes:
        depth_share: standard deviation of depth as a share of z.
        depth_quadratic: standard deviation of depth at 1 m, growing with z squared (stereo).
        depth_blur_px: neighbouring errors are alike over about this many pixels.
        holes: share of the picture without depth, in patches.
        turn_deg: standard deviation of the angle by which a pose is turned about a random axis.
        shift_m: root mean square of the length by which a pose is shifted.
        skew_s: largest time by which a pose is older or newer than its picture.
        missing: share of pictures that are lost, one camera after the other.
    """

    depth_share: float = 0.0
    depth_quadratic: float = 0.0
    depth_blur_px: float = 1.0
    holes: float = 0.0
    turn_deg: float = 0.0
    shift_m: float = 0.0
    skew_s: float = 0.0
    missing: float = 0.0

    def __post_init__(self) -> None:
        for item in dataclasses.fields(self):
            if not getattr(self, item.name) >= 0.0:
                raise ConfigError(f"noise.{item.name} must not be negative.")
        if self.holes >= 1.0 or self.missing >= 1.0:
            raise ConfigError("noise.holes and noise.missing must be below 1.")


def spoil(frames: Sequence[Frame], config: NoiseConfig, seed: int) -> list[Frame]:
    """Spoilt copies of ``frames``, missing ones left out; their order is kept.

    Args:
        frames: true frames with poses; a camera's motion is read off its other frames.
        config: how much.
        seed: of all that is random here.
    """
    skewed = _skew(frames, config, seed) if config.skew_s > 0 else list(frames)
    kept = _lose(skewed, config.missing, seed) if config.missing > 0 else skewed
    return [_spoil_one(frame, config, seed) for frame in kept]


def _rng(frame: Frame, seed: int, what: str) -> np.random.Generator:
    name = f"{what}/{frame.camera}/{frame.stamp_ns}"
    return np.random.default_rng([seed, zlib.crc32(name.encode())])


def _spoil_one(frame: Frame, config: NoiseConfig, seed: int) -> Frame:
    out = frame
    if frame.depth is not None and config.depth_share + config.depth_quadratic + config.holes > 0:
        depth = spoil_depth(frame.depth, config, _rng(frame, seed, "depth"))
        digest = hashlib.sha256(depth.tobytes()).hexdigest()
        out = dataclasses.replace(out, depth=depth, depth_sha256=digest)
    if out.T_fixed_camera is not None and config.turn_deg + config.shift_m > 0:
        rng = _rng(frame, seed, "pose")
        out = dataclasses.replace(
            out,
            T_fixed_camera=spoil_pose(out.T_fixed_camera, config, rng),
            pose_std=(config.shift_m, math.radians(config.turn_deg)),
        )
    return out


def spoil_depth(depth: DepthImage, config: NoiseConfig, rng: np.random.Generator) -> DepthImage:
    """Noisy depth (H, W) float32 metres with holes (NaN)."""
    noise = rng.standard_normal(depth.shape, dtype=np.float32)
    if config.depth_blur_px > 0:
        noise = np.asarray(cv2.GaussianBlur(noise, (0, 0), config.depth_blur_px))
        noise /= max(float(noise.std()), 1e-6)
    spread = config.depth_share * depth + config.depth_quadratic * depth * depth
    out = np.asarray(depth + spread * noise, dtype=np.float32)
    if config.holes > 0:
        # Patches of a few percent of the picture's height; the lowest values of smooth noise.
        field = rng.standard_normal(depth.shape, dtype=np.float32)
        field = np.asarray(cv2.GaussianBlur(field, (0, 0), max(1.0, 0.012 * depth.shape[0])))
        out[field < np.quantile(field, config.holes)] = np.nan
    return out


def spoil_pose(T: FloatArray, config: NoiseConfig, rng: np.random.Generator) -> FloatArray:
    """``T`` turned about the camera's own place and shifted."""
    axis = rng.standard_normal(3)
    axis *= np.radians(rng.normal(0.0, config.turn_deg)) / np.linalg.norm(axis)
    out = T.copy()
    out[:3, :3] = cv2.Rodrigues(axis)[0] @ T[:3, :3]
    out[:3, 3] += rng.normal(0.0, config.shift_m / np.sqrt(3.0), 3)
    return out


def _skew(frames: Sequence[Frame], config: NoiseConfig, seed: int) -> list[Frame]:
    """Every frame with the pose that its camera had a little earlier or later."""
    tracks: dict[str, list[Frame]] = {}
    for frame in sorted(frames, key=lambda item: item.stamp_ns):
        if frame.T_fixed_camera is not None:
            tracks.setdefault(frame.camera, []).append(frame)
    out = []
    for frame in frames:
        late = _rng(frame, seed, "skew").uniform(-config.skew_s, config.skew_s)
        pose = _pose_at(tracks.get(frame.camera, []), frame.stamp_ns + round(late * 1e9))
        out.append(frame if pose is None else dataclasses.replace(frame, T_fixed_camera=pose))
    return out


def _pose_at(track: list[Frame], stamp_ns: int) -> FloatArray | None:
    """The camera's pose between its frames; that of the first or last beyond them."""
    after = next((i for i, item in enumerate(track) if item.stamp_ns >= stamp_ns), len(track) - 1)
    if after < 0:
        return None
    if after == 0 or track[after].stamp_ns <= stamp_ns:
        return track[after].T_fixed_camera
    earlier, later = track[after - 1], track[after]
    assert earlier.T_fixed_camera is not None and later.T_fixed_camera is not None
    alpha = (stamp_ns - earlier.stamp_ns) / (later.stamp_ns - earlier.stamp_ns)
    return interpolate(earlier.T_fixed_camera, later.T_fixed_camera, alpha)


def _lose(frames: Sequence[Frame], share: float, seed: int) -> list[Frame]:
    """Without ``share`` of the frames, the losses rolling from camera to camera.

    At least one frame is kept.
    """
    cameras = sorted({frame.camera for frame in frames})
    stamps = sorted({frame.stamp_ns for frame in frames})
    chance = np.random.default_rng([seed, len(frames)]).random(len(frames))

    def turn(i: int) -> int:
        instant = stamps.index(frames[i].stamp_ns)
        return (cameras.index(frames[i].camera) - instant - seed) % len(cameras)

    by_turn = sorted(range(len(frames)), key=lambda i: (turn(i), chance[i]))
    lost = set(by_turn[: min(round(share * len(frames)), len(frames) - 1)])
    return [frame for index, frame in enumerate(frames) if index not in lost]
