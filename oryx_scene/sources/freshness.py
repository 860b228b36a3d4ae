"""Fresh or refused: evidence that is too old, too early or from the future is no evidence."""

from __future__ import annotations

from collections.abc import Iterable

from oryx_scene.errors import NoFramesError, StaleFramesError
from oryx_scene.records import Frame

# Clocks of two machines on one robot may differ by this much before it is worth a refusal.
FUTURE_LIMIT_S = 1.0


def require_fresh(
    frames: Iterable[Frame], now_ns: int, max_age_s: float, not_before_ns: int = 0
) -> tuple[Frame, ...]:
    """Return the frames if each is fresh.

    Args:
        frames: the newest frame of each camera.
        now_ns: the source's clock.
        max_age_s: largest allowed age.
        not_before_ns: frames captured earlier are refused whatever their age; 0 = off.

    Raises:
        NoFramesError: no frames, or one from more than a second in the future.
        StaleFramesError: the oldest offender, with its age and the limit.
    """
    checked = tuple(frames)
    if not checked:
        raise NoFramesError("no frame has arrived.", hint="is the camera's driver running?")
    for frame in checked:
        ahead_s = (frame.stamp_ns - now_ns) / 1e9
        if ahead_s > FUTURE_LIMIT_S:
            raise NoFramesError(
                f"the frame of camera '{frame.camera}' is stamped {ahead_s:.3f} s in the future.",
                hint="the clocks differ: synchronise them, or check use_sim_time",
            )
    oldest = min(checked, key=lambda frame: frame.stamp_ns)
    age_s = (now_ns - oldest.stamp_ns) / 1e9
    limit_s = max_age_s
    if not_before_ns:
        limit_s = min(limit_s, max(0.0, (now_ns - not_before_ns) / 1e9))
    if age_s > limit_s:
        raise StaleFramesError(oldest.camera, age_s, limit_s)
    return checked
