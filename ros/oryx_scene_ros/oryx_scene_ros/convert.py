"""Replies and scenes become messages. The only place that knows the fields of what goes out.

NaN stands for "not known" in every float field. All places are moved to the answer's coordinate
frame here; a box keeps its own axes and turns with them.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import numpy as np
from builtin_interfaces.msg import Time
from geometry_msgs.msg import Point, Pose, Quaternion, Transform, TransformStamped, Vector3
from oryx_scene_msgs.msg import (
    Answer,
    ErrorInfo,
    FrameRef,
    MarkObservation,
    ModelInfo,
    Provenance,
    Scene,
    SceneObject,
    SpatialRelation,
    Timing,
)
from oryx_scene_msgs.msg import Warning as WarningMessage
from std_msgs.msg import Header
from unique_identifier_msgs.msg import UUID

from oryx_scene import __version__
from oryx_scene.geometry.transforms import rotation_to_quaternion
from oryx_scene.marks.change.changed import SceneChanges
from oryx_scene.model.api import ModelCard
from oryx_scene.qa.formats import FORMATS
from oryx_scene.records import Evidence, FloatArray, Mark, Question, Relation, SceneAnswer
from oryx_scene.warning import Warning
from oryx_scene_ros.error_codes import Code, Failure, for_clients
from oryx_scene_ros.queries.query_handler import Reply
from oryx_scene_ros.queries.scene_store import KeptScene

_FINISH = {
    "eos": Answer.FINISH_STOP,
    "max_new_tokens": Answer.FINISH_LENGTH,
    "cancelled": Answer.FINISH_CANCELED,
    "deadline": Answer.FINISH_TIMEOUT,
}
_NAN = float("nan")


def time_message(stamp_ns: int) -> Time:
    """builtin_interfaces/Time of nanoseconds."""
    return Time(sec=stamp_ns // 1_000_000_000, nanosec=stamp_ns % 1_000_000_000)


def error_message(failure: Failure | None) -> ErrorInfo:
    """ErrorInfo; code 0 for no failure."""
    if failure is None:
        return ErrorInfo()
    return ErrorInfo(
        code=int(failure.code),
        message=failure.message,
        hint=failure.hint,
        retry_after_s=float(failure.retry_after_s),
    )


def hash_bytes(hex_digest: str) -> np.ndarray[Any, Any]:
    """(32,) uint8 of a hex digest; zeros for ""."""
    if not hex_digest:
        return np.zeros(32, dtype=np.uint8)
    return np.frombuffer(bytes.fromhex(hex_digest), dtype=np.uint8).copy()


def pose_message(T: FloatArray) -> Pose:
    """Pose of a (4, 4) transform."""
    x, y, z = (float(value) for value in T[:3, 3])
    qx, qy, qz, qw = (float(value) for value in rotation_to_quaternion(T[:3, :3]))
    return Pose(position=Point(x=x, y=y, z=z), orientation=Quaternion(x=qx, y=qy, z=qz, w=qw))


def transform_message(
    parent: str, child: str, stamp_ns: int, T_parent_child: FloatArray
) -> TransformStamped:
    """TransformStamped of a (4, 4) transform that takes points of ``child`` to ``parent``."""
    pose = pose_message(T_parent_child)
    at = pose.position
    return TransformStamped(
        header=Header(stamp=time_message(stamp_ns), frame_id=parent),
        child_frame_id=child,
        transform=Transform(translation=Vector3(x=at.x, y=at.y, z=at.z), rotation=pose.orientation),
    )


def frame_message(evidence: Evidence, T_answer_fixed: FloatArray | None) -> FrameRef:
    """One frame that an answer rests on."""
    known = evidence.T_answer_camera is not None and T_answer_fixed is not None
    pose = Pose()
    if known:
        assert T_answer_fixed is not None
        pose = pose_message(T_answer_fixed @ np.array(evidence.T_answer_camera))
    return FrameRef(
        camera=evidence.camera,
        header=Header(stamp=time_message(evidence.stamp_ns), frame_id=evidence.frame_id),
        topic=evidence.topic,
        width=evidence.width,
        height=evidence.height,
        encoding=evidence.encoding,
        sha256=hash_bytes(evidence.sha256),
        depth_sha256=hash_bytes(evidence.depth_sha256),
        pose_valid=known,
        pose=pose,
        age_s=float(evidence.age_s),
    )


def object_message(mark: Mark, T_answer_fixed: FloatArray | None) -> SceneObject:
    """One mark; without a box where its place, its size or the transform is unknown."""
    known = mark.position is not None and mark.size is not None and T_answer_fixed is not None
    message = SceneObject(
        mark=mark.number,
        label=mark.label,
        score=float(mark.score),
        observations=[_observation_message(item) for item in mark.observations],
        has_box=known,
        position_stddev=float(mark.position_std) if known else _NAN,
        position_covariance=np.full(9, _NAN),
    )
    if known:
        assert T_answer_fixed is not None and mark.size is not None
        T_fixed_box = np.eye(4)
        T_fixed_box[:3, 3] = mark.position
        message.pose = pose_message(T_answer_fixed @ T_fixed_box)
        message.size = Vector3(**dict(zip("xyz", map(float, mark.size), strict=True)))
        message.position_covariance = position_covariance(mark, T_answer_fixed).ravel()
    return message


def position_covariance(mark: Mark, T_answer_fixed: FloatArray) -> FloatArray:
    """(3, 3) covariance of a mark's position along the answer frame's axes, m^2; NaN unknown."""
    known = np.eye(3) * mark.position_std**2
    if mark.covariance is not None:
        known = np.array(mark.covariance, dtype=np.float64).reshape(3, 3)
    turn = T_answer_fixed[:3, :3]
    return turn @ known @ turn.T


def _observation_message(seen: Any) -> MarkObservation:
    return MarkObservation(
        view=seen.view,
        u=float(seen.u),
        v=float(seen.v),
        bbox=np.array(seen.bbox, dtype=np.float32),
        depth=float(seen.depth_m),
        visible_fraction=float(seen.visible_fraction),
    )


def relation_message(relation: Relation) -> SpatialRelation:
    """One relation, measured or stated."""
    geometry = relation.source == "geometry"
    return SpatialRelation(
        subject=relation.subject,
        object=relation.object or 0,
        predicate=relation.predicate.value,
        reference=relation.reference,
        value=float(relation.value),
        unit=relation.unit,
        stddev=float(relation.std),
        source=SpatialRelation.GEOMETRY if geometry else SpatialRelation.MODEL,
    )


def objects_message(marks: Iterable[Mark], T_answer_fixed: FloatArray | None) -> list[SceneObject]:
    """Several marks."""
    return [object_message(mark, T_answer_fixed) for mark in marks]


def scene_message(
    kept: KeptScene, T_answer_fixed: FloatArray | None = None, frame_id: str = ""
) -> Scene:
    """A frozen scene; by default in its own coordinate frame."""
    scene = kept.scene
    if not frame_id:
        frame_id, T_answer_fixed = scene.frame_id, np.eye(4) if scene.frame_id else None
    return Scene(
        header=Header(stamp=time_message(scene.views.oldest_ns), frame_id=frame_id),
        scene_id=scene.scene_id,
        frozen_at=time_message(scene.frozen_ns),
        expires_at=time_message(kept.expires_ns),
        prefilled=kept.prefilled,
        frames=[frame_message(item, T_answer_fixed) for item in scene.evidence],
        objects=objects_message(scene.marks.marks, T_answer_fixed),
        relations=[relation_message(item) for item in scene.marks.relations],
        marks_route=scene.marks.route,
        warnings=warning_messages(scene.warnings),
    )


def warning_messages(warnings: Iterable[Warning]) -> list[WarningMessage]:
    """Warnings as messages by the library's table; advice names parameters, not flags."""
    return [
        WarningMessage(
            code=item.code,
            severity=item.severity,
            text=for_clients(item.text),
            camera=item.camera,
            topic=item.topic,
            stamp=time_message(item.stamp_ns or 0),
            advice=for_clients(item.advice),
        )
        for item in warnings
    ]


def changed_response(
    response: Any, before: KeptScene, after: KeptScene, changes: SceneChanges
) -> Any:
    """A Changed response; every object in the coordinate frame of its own scene."""
    own_before = np.eye(4) if before.scene.frame_id else None
    own_after = np.eye(4) if after.scene.frame_id else None
    response.changed = changes.changed
    response.scene_id = after.scene.scene_id
    response.appeared = objects_message(changes.appeared, own_after)
    response.disappeared = objects_message(changes.disappeared, own_before)
    response.moved = objects_message([item.after for item in changes.moved], own_after)
    unknown = [
        Warning("comparison_unknown", f"nothing can be said about {count} objects: {reason}")
        for reason, count in sorted(changes.unknown.items())
    ]
    response.warnings = warning_messages([*after.scene.warnings, *changes.warnings, *unknown])
    return response


def answer_message(reply: Reply, query_id: bytes, now_ns: int, total_s: float) -> Answer:
    """The answer to one question, always filled.

    Args:
        reply: of the engine thread.
        query_id: 16 bytes.
        now_ns: ROS time.
        total_s: steady seconds since acceptance.
    """
    message = Answer(
        answered_at=time_message(now_ns),
        query_id=UUID(uuid=np.frombuffer(query_id, dtype=np.uint8).copy()),
        confidence=_NAN,
        error=error_message(reply.failure),
        oldest_evidence_age_s=_NAN,
        timing=_timing_message(reply, now_ns, total_s),
    )
    for form in FORMATS.values():
        for name, value in form.message(reply.answer or SceneAnswer(Question(""), "")).items():
            setattr(message, name, value)
    if reply.request is not None:
        message.question = reply.request.question.text
        message.session_id = reply.request.session_id
    warnings = list(reply.warnings)
    if reply.kept is not None:
        scene = reply.kept.scene
        frame_id = reply.frame_id if reply.T_answer_fixed is not None else scene.frame_id
        message.header = Header(stamp=time_message(scene.views.newest_ns), frame_id=frame_id)
        message.oldest_evidence_age_s = (now_ns - scene.views.oldest_ns) / 1e9
        message.provenance.scene_id = scene.scene_id
        message.provenance.marks_route = scene.marks.route
        message.provenance.frames = [
            frame_message(item, reply.T_answer_fixed) for item in scene.evidence
        ]
    if reply.answer is not None:
        _fill(message, reply.answer, reply)
        warnings += reply.answer.warnings
    elif reply.kept is not None:
        warnings += reply.kept.scene.warnings
    message.warnings = warning_messages(dict.fromkeys(warnings))
    message.finish = _finish(reply)
    return message


def _fill(message: Answer, answer: SceneAnswer, reply: Reply) -> None:
    message.text = answer.text
    message.confidence = float(answer.confidence)
    message.marks = [mark.number for mark in answer.marks]
    message.objects = objects_message(answer.marks, reply.T_answer_fixed)
    message.relations = [relation_message(item) for item in answer.relations]
    _fill_provenance(message.provenance, answer, reply)


def _fill_provenance(message: Provenance, answer: SceneAnswer, reply: Reply) -> None:
    said = answer.provenance
    message.model = said.get("model", "")
    message.revision = said.get("revision", "")
    message.trained = said.get("trained") == "yes"
    message.quantization = said.get("quantization", "")
    message.dtype = said.get("dtype", "")
    message.device = said.get("device", "")
    message.software_version = said.get("software_version", "")
    message.prompt_sha256 = hash_bytes(said.get("prompt_sha256", ""))
    message.tokens_sha256 = hash_bytes(said.get("tokens_sha256", ""))
    message.compression = answer.compression
    if reply.limits is not None:
        message.temperature = float(reply.limits.temperature)
        message.top_p = float(reply.limits.top_p)
        message.seed = reply.limits.seed
        message.max_new_tokens = reply.limits.max_new_tokens


def _finish(reply: Reply) -> int:
    if reply.failure is None:
        reason = reply.answer.stop_reason if reply.answer is not None else ""
        return int(_FINISH.get(reason, Answer.FINISH_STOP))
    if reply.failure.code is Code.CANCELED:
        return int(Answer.FINISH_CANCELED)
    if reply.failure.code is Code.TIMEOUT:
        return int(Answer.FINISH_TIMEOUT)
    return int(Answer.FINISH_ERROR)


def _timing_message(reply: Reply, now_ns: int, total_s: float) -> Timing:
    took = dict(reply.answer.timings_s) if reply.answer is not None else {}
    fresh = dict(reply.kept.scene.timings_s) if reply.kept is not None else {}
    if reply.reused:
        fresh = {}
    prepare = [fresh[key] for key in ("views", "prepare") if key in fresh]
    message = Timing(
        queue_s=reply.queue_s,
        frames_s=reply.frames_s,
        marks_s=fresh.get("marks", _NAN),
        prepare_s=sum(prepare) if prepare else _NAN,
        encode_s=took.get("encode", _NAN),
        prefill_s=took.get("prefill", _NAN),
        first_token_s=took.get("first_token", _NAN),
        decode_s=took.get("decode", _NAN),
        total_s=total_s,
        capture_to_answer_s=_NAN,
        scene_reused=reply.reused,
    )
    if reply.kept is not None:
        message.capture_to_answer_s = (now_ns - reply.kept.scene.views.newest_ns) / 1e9
    if reply.answer is not None:
        message.visual_tokens = reply.answer.visual_tokens
        message.prompt_tokens = reply.answer.prompt_tokens
        message.generated_tokens = reply.answer.generated_tokens
    return message


def model_message(card: ModelCard, max_views: int, load_s: float) -> ModelInfo:
    """The loaded model."""
    return ModelInfo(
        model=card.name,
        revision=card.revision,
        quantization=card.quantization,
        dtype=card.dtype,
        device=card.device,
        context_length=card.context_length,
        max_views=max_views,
        trained=card.trained,
        synthetic_only=card.synthetic_only,
        software_version=__version__,
        load_s=load_s if math.isfinite(load_s) else _NAN,
    )
