"""Whether z of the fixed frame is up: robots say so (REP-103), the world of a SLAM run may not."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from oryx_scene.records import FloatArray, Frame


def z_is_up(frames: Sequence[Frame]) -> bool:
    """Whether the cameras, on average, stand upright in the fixed frame or look down there.

    Within 45 degrees: a camera that is level or tilted down by less has its picture's upper edge
    up, one that looks down by more has its optical axis down.
    """
    downs = [
        _most_down(frame.T_fixed_camera) for frame in frames if frame.T_fixed_camera is not None
    ]
    return bool(downs) and float(np.mean(downs)) > np.cos(np.pi / 4) - 1e-6


def _most_down(T_fixed_camera: FloatArray) -> float:
    """How far the picture's lower edge or the optical axis points against z, whichever more."""
    return float(-min(T_fixed_camera[2, 1], T_fixed_camera[2, 2]))
