"""Marks with 3D boxes as vision_msgs, for tools that know them; only where that package is."""

from __future__ import annotations

from typing import Any

import numpy as np
from geometry_msgs.msg import PoseWithCovariance
from std_msgs.msg import Header

from oryx_scene_ros.convert import object_message, time_message
from oryx_scene_ros.scenes import KeptScene

try:
    from vision_msgs import msg as _vision
except ImportError:  # said by the node when it is configured
    _vision = None
vision: Any = _vision

MISSING = (
    "vision_msgs is not installed: no ~/objects. Install ros-$ROS_DISTRO-vision-msgs if something "
    "listens to it"
)


def detections_message(kept: KeptScene) -> Any:
    """vision_msgs/Detection3DArray of the marks whose place and size are known.

    Headers carry the scene's coordinate frame and its newest stamp; ``id`` is the mark's number.
    """
    scene = kept.scene
    header = Header(stamp=time_message(scene.views.newest_ns), frame_id=scene.frame_id)
    found = []
    for mark in scene.marks.marks:
        one = object_message(mark, np.eye(4))
        if not one.has_box:
            continue
        hypothesis = vision.ObjectHypothesis(class_id=one.label, score=float(one.score))
        result = vision.ObjectHypothesisWithPose(
            hypothesis=hypothesis, pose=PoseWithCovariance(pose=one.pose)
        )
        box = vision.BoundingBox3D(center=one.pose, size=one.size)
        found.append(
            vision.Detection3D(header=header, results=[result], bbox=box, id=str(one.mark))
        )
    return vision.Detection3DArray(header=header, detections=found)
