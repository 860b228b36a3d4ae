"""vision_msgs where that package is: marks with 3D boxes go out, and topics in that need it."""

from __future__ import annotations

from typing import Any

import numpy as np
from geometry_msgs.msg import PoseWithCovariance
from oryx_scene_msgs.msg import SceneObject
from std_msgs.msg import Header

from oryx_scene.errors import ConfigError
from oryx_scene.records import FloatArray
from oryx_scene_ros.convert import object_message, time_message
from oryx_scene_ros.distribution import vision
from oryx_scene_ros.parameters.settings import NodeSettings
from oryx_scene_ros.queries.scene_store import KeptScene

MISSING = (
    "vision_msgs is not installed: no ~/objects. Install ros-$ROS_DISTRO-vision-msgs if something "
    "listens to it"
)


def require_vision(settings: NodeSettings) -> None:
    """Refuse detections topics where their message is not known.

    Raises:
        ConfigError: a camera names one, and vision_msgs is not installed.
    """
    named = next((item for item in settings.cameras if item.detections), None)
    if named is not None and vision is None:
        raise ConfigError(
            f"camera.{named.name}.detections_topic needs the package vision_msgs, which is not "
            "installed.",
            hint="install ros-$ROS_DISTRO-vision-msgs, or leave the parameter empty",
        )


def _pose_covariance(one: SceneObject) -> FloatArray:
    """(36,) of position and rotation, by rows; NaN where unknown, as all of the rotation is.

    ``PoseWithCovariance`` defines no value for "unknown"; zeros would say "exactly".
    """
    found = np.full((6, 6), np.nan)
    found[:3, :3] = np.asarray(one.position_covariance).reshape(3, 3)
    return found.ravel()


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
        pose = PoseWithCovariance(pose=one.pose, covariance=_pose_covariance(one))
        result = vision.ObjectHypothesisWithPose(hypothesis=hypothesis, pose=pose)
        box = vision.BoundingBox3D(center=one.pose, size=one.size)
        found.append(
            vision.Detection3D(header=header, results=[result], bbox=box, id=str(one.mark))
        )
    return vision.Detection3DArray(header=header, detections=found)
