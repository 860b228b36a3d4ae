"""Detections as the things of a memory: of a long recording only those of the window in hand."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from pathlib import Path

from oryx_scene.config import MarksConfig
from oryx_scene.marks.detections.records import Detection, load_detections
from oryx_scene.marks.detections.route import find_detected, in_picture
from oryx_scene.marks.detections.segments import SLOP_NS
from oryx_scene.marks.detections.topic import DetectionTopic, read_detection_topic
from oryx_scene.memory.recorder import FindMarks
from oryx_scene.records import MarkSet, ViewSet


class WindowDetections:
    """A mark finder that marks what was detected in the frames that it is given.

    Args:
        detections: of the whole recording.
    """

    def __init__(self, detections: Sequence[Detection]) -> None:
        self._by_time = sorted(detections, key=lambda item: item.stamp_ns)
        self._stamps = [item.stamp_ns for item in self._by_time]

    def find(self, views: ViewSet, config: MarksConfig, question: str) -> MarkSet:
        """Marks of the detections of these views."""
        begin = bisect_left(self._stamps, views.oldest_ns - SLOP_NS)
        end = bisect_right(self._stamps, views.newest_ns + SLOP_NS)
        own = [in_picture(item, views.frames) for item in self._by_time[begin:end]]
        return find_detected(views, own, config, question=question)


def window_finder(
    file: Path | None = None, bag: str | Path = "", topic: str | None = None
) -> FindMarks | None:
    """The finder of a detections file or of a topic of a bag; None where neither is given.

    Raises:
        SourceError: the file or the topic cannot be read.
    """
    if topic is not None:
        return _of_topic(read_detection_topic(bag, topic))
    return None if file is None else WindowDetections(load_detections(file)).find


def _of_topic(topic: DetectionTopic) -> FindMarks:
    def find(views: ViewSet, config: MarksConfig, question: str) -> MarkSet:
        own = [item for frame in views.frames for item in topic.of_frame(frame)]
        return find_detected(views, own, config, question=question)

    return find
