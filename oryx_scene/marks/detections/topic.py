"""Detections that a detector published: vision_msgs/Detection2DArray, recorded or live.

Reads the fields of vision_msgs for ROS 1, for ROS 2 up to 3.x and from 4.0 on, whose boxes and
hypotheses are spelt differently; needs no vision_msgs package. A message belongs to the picture
whose optical frame and stamp it carries.
"""

from __future__ import annotations

import logging
import math
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from oryx_scene.config import MarksConfig
from oryx_scene.errors import SourceError
from oryx_scene.geometry.turning import published_frame_id
from oryx_scene.marks.detections.records import Box, Detection
from oryx_scene.marks.detections.route import find_detected
from oryx_scene.marks.detections.segments import SLOP_NS
from oryx_scene.marks.instance_map.known_places import NumberMemory
from oryx_scene.records import Frame, MarkSet, ViewSet
from oryx_scene.sources.bags.data_file import Channel
from oryx_scene.sources.bags.index import stamp_ns_of
from oryx_scene.sources.bags.recording import Recording

LOG = logging.getLogger(__name__)
MESSAGE = "Detection2DArray"


@dataclass(frozen=True)
class SeenBox:
    """One box of a message: (u0, v0, u1, v1) pixels inclusive, its class, and 0..1."""

    box: Box
    label: str
    score: float


@dataclass(frozen=True)
class SeenBoxes:
    """One message.

    Attributes:
        frame_id: optical frame of the picture, "" where the detector does not say.
        stamp_ns: of the picture.
        boxes: without those that cannot be right.
    """

    frame_id: str
    stamp_ns: int
    boxes: tuple[SeenBox, ...]


def boxes_of(message: Any) -> SeenBoxes:
    """The boxes of a Detection2DArray; boxes without a size, or not of numbers, are left out."""
    found = []
    for item in message.detections:
        centre = item.bbox.center
        # Pose2D holds x and y itself before vision_msgs 4.0, in `position` from then on.
        centre = getattr(centre, "position", centre)
        width, height = float(item.bbox.size_x), float(item.bbox.size_y)
        u0, v0 = float(centre.x) - width / 2, float(centre.y) - height / 2
        if not (math.isfinite(u0 + v0 + width + height) and width > 0 and height > 0):
            continue
        label, score = _best(item.results)
        found.append(SeenBox((u0, v0, u0 + width - 1, v0 + height - 1), label, score))
    header = message.header
    return SeenBoxes(str(header.frame_id).lstrip("/"), stamp_ns_of(header), tuple(found))


def _best(results: Iterable[Any]) -> tuple[str, float]:
    """Name and score of the likeliest hypothesis; a class known by number only is "class 7"."""
    best = ("", 1.0)
    highest = -math.inf
    for result in results:
        guess = getattr(result, "hypothesis", result)
        name = str(getattr(guess, "class_id", getattr(guess, "id", ""))).strip()
        score = float(guess.score)
        if score > highest:
            highest = score
            named = f"class {name}" if name.isdecimal() else name
            best = (named, min(max(score, 0.0), 1.0) if math.isfinite(score) else 0.0)
    return best


class DetectionTopic:
    """Messages of one topic as a mark finder: `ScenePipeline(answerer, config, topic.find)`.

    Args:
        messages: in any order; bound them before, all are kept.
    """

    def __init__(self, messages: Iterable[SeenBoxes]) -> None:
        self._memory = NumberMemory()
        self._by_frame: dict[str, list[SeenBoxes]] = defaultdict(list)
        for message in messages:
            self._by_frame[message.frame_id].append(message)

    def __len__(self) -> int:
        return sum(len(messages) for messages in self._by_frame.values())

    def message_of(self, frame: Frame) -> SeenBoxes | None:
        """The message of one frame: of its optical frame, nearest in time within 50 ms."""
        near = [*self._by_frame.get(published_frame_id(frame), ()), *self._by_frame.get("", ())]
        if not near:
            return None
        nearest = min(near, key=lambda item: (abs(item.stamp_ns - frame.stamp_ns), item.stamp_ns))
        return nearest if abs(nearest.stamp_ns - frame.stamp_ns) <= SLOP_NS else None

    def of_frame(self, frame: Frame) -> list[Detection]:
        """What was detected in one frame; none where no message is of it."""
        message = self.message_of(frame)
        return [
            Detection(frame.camera, frame.stamp_ns, item.box, item.label, item.score).turned(frame)
            for item in (() if message is None else message.boxes)
        ]

    def find(self, views: ViewSet, config: MarksConfig, question: str) -> MarkSet:
        """Marks of what was detected in the views; an object keeps its number over scenes."""
        found = [item for frame in views.frames for item in self.of_frame(frame)]
        return self._memory.remembering(
            lambda numbers: find_detected(views, found, config, question=question, memory=numbers),
            config.max_marks,
        )


def read_detection_topic(path: str | Path, topic: str) -> DetectionTopic:
    """The detections of a bag's topic.

    Raises:
        SourceError: no bag, or no such topic of Detection2DArray in it.
    """
    recording = Recording(Path(path))
    try:
        fitting: set[str] = set()

        def wanted(channel: Channel) -> bool:
            if channel.msgtype.endswith(f"/{MESSAGE}"):
                fitting.add(channel.topic)
            return channel.topic == topic and channel.topic in fitting

        messages = []
        for channel, _, data in recording.messages(wanted):
            try:
                messages.append(boxes_of(recording.deserialize(data, channel)))
            except ValueError as err:
                LOG.warning("%s: a message was left out: %s", topic, err)
        if not messages:
            names = ", ".join(sorted(fitting)) or "none"
            raise SourceError(
                path, f"there is no {MESSAGE} on '{topic}'.", hint=f"topics of that type: {names}"
            )
    finally:
        recording.close()
    return DetectionTopic(messages)
