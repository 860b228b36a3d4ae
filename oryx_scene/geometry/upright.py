"""Whether z of the fixed frame is up: robots say so (REP-103), the world of a SLAM run may not."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from oryx_scene.frames import Frame


def z_is_up(frames: Sequence[Frame]) -> bool:
    """Whether the cameras, on average, stand upright in the fixed frame (within 45 degrees)."""
    ups = [-frame.T_fixed_camera[2, 1] for frame in frames if frame.T_fixed_camera is not None]
    return bool(ups) and float(np.mean(ups)) > np.cos(np.pi / 4)
