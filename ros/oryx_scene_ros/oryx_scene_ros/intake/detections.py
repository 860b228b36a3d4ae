"""Marks of what detectors publish beside the cameras. No rclpy here.

A picture takes the message of its own camera that repeats its stamp, or lies nearest within 50 ms;
nothing is carried over from other moments. What has no message has no marks, and the answer says
so.
"""

from __future__ import annotations

import dataclasses
from collections import defaultdict
from collections.abc import Sequence

from oryx_scene.config import MarksConfig
from oryx_scene.marks.detections.records import Detection
from oryx_scene.marks.detections.route import find_detected
from oryx_scene.marks.detections.segments import SLOP_NS
from oryx_scene.marks.detections.topic import DetectionTopic, boxes_of
from oryx_scene.marks.instance_map.known_places import NumberMemory
from oryx_scene.records import Frame, MarkSet, ViewSet
from oryx_scene.warning import Warning
from oryx_scene_ros.intake.message_buffer import CameraFeed, MessageBuffers


class LiveDetections:
    """A mark finder of what the feeds hold when it is called.

    Args:
        feeds: of the cameras with their detectors.
        memory: numbers of earlier scenes.
    """

    def __init__(self, feeds: MessageBuffers, memory: NumberMemory | None = None) -> None:
        self._feeds, self._memory = feeds, memory or NumberMemory()

    def find(self, views: ViewSet, config: MarksConfig, question: str) -> MarkSet:
        """Marks of what was detected in the views; views without a message are warned of."""
        found: list[Detection] = []
        bare: dict[str, list[Frame]] = defaultdict(list)
        for frame in views.frames:
            own = self.of_frame(frame)
            if own is None:
                bare[frame.camera].append(frame)
            else:
                found += own
        marks = self._memory.remembering(
            lambda numbers: find_detected(views, found, config, question=question, memory=numbers),
            config.max_marks,
        )
        said = [self._why(name, frames) for name, frames in sorted(bare.items())]
        return dataclasses.replace(marks, warnings=(*said, *marks.warnings))

    def of_frame(self, frame: Frame) -> list[Detection] | None:
        """What was detected in a frame; None where no message is of it."""
        kept = self._feeds.detections_of(frame.camera)
        near = [item for item in kept if abs(item.stamp_ns - frame.stamp_ns) <= SLOP_NS]
        # The feed has compared the coordinate frames; a rig file may give the frame another name.
        own = (dataclasses.replace(boxes_of(item.message), frame_id="") for item in near)
        topic = DetectionTopic(own)
        return None if topic.message_of(frame) is None else topic.of_frame(frame)

    def _why(self, camera: str, frames: Sequence[Frame]) -> Warning:
        feed = self._feeds.cameras[camera]
        if not feed.detections_topic:
            text = "it has no detections_topic: no marks in its views"
            return Warning("detections_missing", text, camera=camera)
        reason = self._reason(feed, max(frame.stamp_ns for frame in frames))
        count = f"{len(frames)} view" + "s" * (len(frames) > 1)
        text = f"no detections for {count}, so no marks there: {reason}"
        return Warning("detections_missing", text, camera=camera, topic=feed.detections_topic)

    def _reason(self, feed: CameraFeed, stamp_ns: int) -> str:
        kept = self._feeds.detections_of(feed.settings.name)
        other, own = feed.detections.frame_id, feed.images.frame_id
        if not kept and other and other != own:
            return f"those on {feed.detections_topic} are of '{other}', the pictures of '{own}'"
        if not kept:
            return f"none have arrived on {feed.detections_topic}"
        gap_s = min((item.stamp_ns - stamp_ns for item in kept), key=abs) / 1e9
        side = "newer" if gap_s > 0 else "older"
        return (
            f"the nearest on {feed.detections_topic} are {abs(gap_s):.3f} s {side} than the "
            f"picture, {SLOP_NS / 1e9:g} s are allowed"
        )
