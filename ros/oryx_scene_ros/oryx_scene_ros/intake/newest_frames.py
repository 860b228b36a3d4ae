"""Of each camera the newest frame that is whole, for those who look beside the questions.

No rclpy here. A frame is whole with its pose, and with depth, calibration and detections where the
camera has them; none is given twice.
"""

from __future__ import annotations

from oryx_scene.geometry.rig import Rig
from oryx_scene.records import Frame
from oryx_scene_ros.intake.frame_requirements import Wanted
from oryx_scene_ros.intake.message_buffer import MessageBuffers
from oryx_scene_ros.intake.moment import BufferedMoment
from oryx_scene_ros.parameters.settings import NodeSettings

# A camera's newest frames that are tried in one turn: depth and transforms come after the picture.
TRIES = 8


class NewestFrames:
    """Takes frames from the feeds.

    Args:
        feeds: what arrived.
        rig: calibration that wins over the topics'.
    """

    def __init__(self, feeds: MessageBuffers, rig: Rig | None) -> None:
        self._feeds, self._rig = feeds, rig
        self._last: dict[str, int] = {}

    def take(self, camera: str, settings: NodeSettings) -> Frame | None:
        """The newest whole frame, None where there is none since the last call.

        Raises:
            OryxSceneError: it cannot be decoded.
        """
        feed = self._feeds.cameras[camera]
        newest = feed.newest_ns
        last = self._last.get(camera, 0)
        # A clock that went back begins anew.
        if newest is not None and newest < last:
            last = 0
        if newest is None or newest == last:
            return None
        wanted = Wanted((camera,), settings.pipeline.views.max_age_s, not_before_ns=last + 1)
        fixed_frame = settings.pipeline.fixed_frame
        snapshot = BufferedMoment(self._feeds, wanted, fixed_frame, self._rig, newest)
        for stub in reversed(snapshot.stubs()[-TRIES:]):
            if feed.topics.depth and not snapshot.has_depth(stub):
                continue
            with self._feeds.changed:
                lacks = feed.lacks(stub.stamp_ns)
            if not lacks and snapshot.pose(stub) is not None:
                self._last[camera] = stub.stamp_ns
                return snapshot.load(stub)
        return None
