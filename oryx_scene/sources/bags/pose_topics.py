"""Poses that were recorded as Odometry, PoseStamped or TransformStamped instead of TF.

They become transforms where TF does not say where a camera is. Odometry names the moving frame; a
PoseStamped does not, and is taken as the pose of the one frame that all cameras hang on, which is
said. What is not clear is not used, which is said too.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from oryx_scene.errors import CalibrationError, TransformError
from oryx_scene.geometry.tf_buffer import TransformBuffer
from oryx_scene.geometry.transforms import check_transform, from_translation_quaternion
from oryx_scene.records import FloatArray
from oryx_scene.warning import Warning

POSE_TYPES = (
    "nav_msgs/msg/Odometry",
    "geometry_msgs/msg/PoseStamped",
    "geometry_msgs/msg/PoseWithCovarianceStamped",
    "geometry_msgs/msg/TransformStamped",
)
_FIXED_FRAMES = ("map", "odom", "world")
# Where a PoseStamped of these words is, nobody is yet.
_NOT_THERE = ("goal", "target", "setpoint", "waypoint", "initialpose", "command", "cmd", "desired")


@dataclass
class PoseTrack:
    """The poses of one topic.

    Attributes:
        parent: coordinate frame that they are given in.
        child: the moving frame, "" where the messages do not say.
        poses: (stamp_ns, T_parent_child (4, 4)).
    """

    topic: str
    parent: str
    child: str
    poses: list[tuple[int, FloatArray]] = field(default_factory=list)


def take_pose(tracks: dict[str, PoseTrack], topic: str, stamp_ns: int, message: Any) -> None:
    """Put one message with its place.

    Raises:
        CalibrationError: numbers that are no pose.
    """
    inner = getattr(message, "pose", None)
    inner = getattr(inner, "pose", inner)
    if inner is None:
        at, turn = message.transform.translation, message.transform.rotation
    else:
        at, turn = inner.position, inner.orientation
    T = check_transform(
        from_translation_quaternion((at.x, at.y, at.z), (turn.x, turn.y, turn.z, turn.w)), topic
    )
    child = str(getattr(message, "child_frame_id", "")).lstrip("/")
    parent = str(message.header.frame_id).lstrip("/") or "map"
    track = tracks.setdefault(topic, PoseTrack(topic, parent, child))
    if (track.parent, track.child) == (parent, child):
        track.poses.append((stamp_ns, T))


def use_pose_tracks(
    tracks: Iterable[PoseTrack],
    frame_ids: Mapping[str, str],
    trees: Mapping[str, TransformBuffer],
    wanted: str,
) -> list[Warning]:
    """Add the poses of cameras that TF does not place; returns what must be said.

    Args:
        tracks: of all topics.
        frame_ids: our name of a camera -> its optical frame.
        trees: our name of a camera -> what TF and the rig say of it; added to.
        wanted: fixed frame that is preferred where several topics place one frame.
    """
    tracks, said = list(tracks), []
    for tree in {id(tree): tree for tree in trees.values()}.values():
        frames = [frame_ids[name] for name, own in trees.items() if own is tree and frame_ids[name]]
        said += _use_in_tree(tracks, frames, tree, wanted)
    return list(dict.fromkeys(said))


def _use_in_tree(
    tracks: Sequence[PoseTrack], frames: Sequence[str], transforms: TransformBuffer, wanted: str
) -> list[Warning]:
    warnings: list[Warning] = []
    bodies = {transforms.root_of(frame) for frame in frames}
    if all(transforms.connected(wanted, frame) for frame in frames):
        return warnings
    candidates: dict[str, list[PoseTrack]] = {}
    for track in tracks:
        if any(word in track.topic.lower() for word in _NOT_THERE) or len(track.poses) < 2:
            continue
        body = _body_of(track, bodies, transforms)
        if body:
            candidates.setdefault(body, []).append(track)
        elif not track.child or transforms.parent_of(track.child) is None:
            text = (
                f"poses of '{track.child or 'a frame without a name'}' in '{track.parent}' are not "
                f"used: nothing joins it to the cameras ({', '.join(sorted(bodies)) or 'no frame'})"
            )
            warnings.append(Warning("pose_topic_unused", text, topic=track.topic))
    for body, several in candidates.items():
        several.sort(key=lambda item: (item.parent != wanted, not item.child, -len(item.poses)))
        nameless = [item for item in several if not item.child]
        if not several[0].child and len(nameless) > 1:
            text = f"several topics could be the poses of '{body}': none is used"
            warnings += [Warning("pose_topic_unused", text, topic=item.topic) for item in nameless]
            continue
        warnings += _use(several[0], body, transforms)
    return warnings


def _body_of(track: PoseTrack, bodies: set[str], transforms: TransformBuffer) -> str:
    """The frame without a parent that a track moves, "" where it moves none of the cameras."""
    if track.child:
        return track.child if track.child in bodies else ""
    body = next(iter(bodies)) if len(bodies) == 1 else ""
    if body in _FIXED_FRAMES:
        return ""  # TF places the cameras already
    # In the tree of the cameras themselves it is the place of something that they saw.
    return "" if not body or transforms.root_of(track.parent) == body else body


def _use(track: PoseTrack, body: str, transforms: TransformBuffer) -> list[Warning]:
    try:
        for stamp_ns, T in track.poses:
            transforms.add(track.parent, body, stamp_ns, T)
    except (CalibrationError, TransformError) as err:
        return [Warning("pose_topic_unused", f"not used: {err.message}", topic=track.topic)]
    text = f"TF does not place '{body}': its {len(track.poses)} poses in '{track.parent}' were used"
    if track.child:
        return [Warning("pose_topic_used", text, topic=track.topic)]
    text += "; the messages do not say whose they are"
    return [Warning("pose_topic_assumed", text, topic=track.topic)]
