"""Answers of the memory become messages: of ~/where, ~/forget, and of questions in words."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from geometry_msgs.msg import Point, Pose, PoseStamped, Quaternion, Vector3
from oryx_scene_msgs.msg import Answer, FrameRef, MemoryObject, MemoryRow, SceneObject
from oryx_scene_msgs.srv import Where
from std_msgs.msg import Header

from oryx_scene.memory.erasure import Forgotten
from oryx_scene.memory.where import Candidate, EvidenceRow, ViewGoal
from oryx_scene_ros.convert import time_message, warning_messages
from oryx_scene_ros.queries.memory_questions import Recalled

_NAN = float("nan")
_NOWHERE = (_NAN, _NAN, _NAN)
_STATUS = {
    "unsure": Where.Response.UNSURE,
    "seen": Where.Response.SEEN,
    "gone": Where.Response.GONE,
    "never": Where.Response.NEVER,
    "several": Where.Response.SEVERAL,
}


def where_response(response: Any, recalled: Recalled, now_ns: int) -> Any:
    """A Where response; a goal is stamped ``now_ns`` so that Nav2 transforms it as of now."""
    answer = recalled.answer
    response.status = _STATUS[answer.status]
    response.text = recalled.text
    response.frame_id = answer.frame_id
    response.position = _point(answer.position or _NOWHERE)
    response.position_covariance = _numbers(answer.covariance)
    response.size = _vector(answer.size or _NOWHERE)
    response.last_seen = time_message(answer.last_seen_ns or 0)
    response.first_missed = time_message(answer.first_missed_ns or 0)
    response.ago_s = _NAN if answer.ago_s is None else answer.ago_s
    response.confidence = answer.confidence
    response.evidence = [_row(item) for item in answer.evidence]
    response.candidates = [_candidate(item) for item in answer.candidates]
    if answer.view_goal is not None:
        response.has_view_goal = True
        response.view_goal = _goal(answer.view_goal, now_ns)
    response.warnings = warning_messages(recalled.warnings)
    return response


def fill_recalled(message: Answer, recalled: Recalled) -> None:
    """Put the place and the rows of a memory's answer into the answer of a question."""
    answer = recalled.answer
    stamp = time_message(answer.last_seen_ns or 0)
    message.header = Header(stamp=stamp, frame_id=answer.frame_id)
    message.provenance.frames = [
        FrameRef(camera=row.camera, header=Header(stamp=time_message(row.stamp_ns)))
        for row in answer.evidence
        if row.table == "keyframes"
    ]
    if answer.ago_s is not None:
        message.oldest_evidence_age_s = answer.ago_s
    if answer.position is not None and answer.size is not None:
        largest = np.linalg.eigvalsh(_numbers(answer.covariance).reshape(3, 3)).max()
        message.objects = [
            SceneObject(
                label=answer.candidates[0].described,
                score=float(answer.confidence),
                has_box=True,
                pose=Pose(position=_point(answer.position)),
                size=_vector(answer.size),
                position_stddev=math.sqrt(max(0.0, float(largest))),
                position_covariance=_numbers(answer.covariance),
            )
        ]


def forget_response(response: Any, found: Forgotten) -> Any:
    """A Forget response."""
    for name in ("instances", "stays", "keyframes", "crops", "path", "answers", "freed_bytes"):
        setattr(response, name, getattr(found, name))
    response.warnings = warning_messages(found.warnings)
    return response


def _goal(goal: ViewGoal, now_ns: int) -> PoseStamped:
    turned = dict(zip("xyzw", goal.orientation, strict=True))
    message = PoseStamped(header=Header(stamp=time_message(now_ns), frame_id=goal.frame_id))
    message.pose = Pose(position=_point(goal.position), orientation=Quaternion(**turned))
    return message


def _row(item: EvidenceRow) -> MemoryRow:
    return MemoryRow(
        table=item.table,
        row=item.row,
        says=item.says,
        stamp=time_message(item.stamp_ns),
        camera=item.camera,
        picture=item.picture,
    )


def _candidate(item: Candidate) -> MemoryObject:
    return MemoryObject(
        instance=item.instance,
        described=item.described,
        confidence=float(item.confidence),
        gone=item.status == "gone",
        frame_id=item.frame_id,
        position=_point(item.position),
        position_covariance=_numbers(item.covariance),
        size=_vector(item.size),
        last_seen=time_message(item.last_seen_ns),
        first_missed=time_message(item.first_missed_ns or 0),
        moved=item.moved_from is not None,
        moved_from=_point(item.moved_from or _NOWHERE),
    )


def _numbers(covariance: Any) -> Any:
    """(9,) float64 by rows, NaN where unknown."""
    return np.full(9, _NAN) if covariance is None else np.array(covariance, float).ravel()


def _point(xyz: tuple[float, float, float]) -> Point:
    return Point(**dict(zip("xyz", map(float, xyz), strict=True)))


def _vector(xyz: tuple[float, float, float]) -> Vector3:
    return Vector3(**dict(zip("xyz", map(float, xyz), strict=True)))
