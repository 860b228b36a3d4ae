"""Error numbers of answers (700-724), and which error of the library gets which. No rclpy here."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import IntEnum

from oryx_scene.errors import (
    BudgetError,
    CheckpointError,
    ConfigError,
    DeviceMemoryError,
    EngineError,
    ImageDecodeError,
    MemoryStoreError,
    MissingExtraError,
    NoFramesError,
    OryxSceneError,
    OutputError,
    QuestionError,
    SceneMismatchError,
    StaleFramesError,
    TransformError,
)


class Code(IntEnum):
    """The numbers of oryx_scene_msgs/msg/ErrorInfo."""

    NONE = 0
    UNKNOWN = 700
    NOT_ACTIVE = 701
    BUSY = 702
    INVALID_REQUEST = 703
    UNKNOWN_CAMERA = 704
    NO_FRAMES = 705
    STALE_FRAMES = 706
    SYNC_FAILED = 707
    BAD_IMAGE = 708
    TF_ERROR = 710
    SCENE_NOT_FOUND = 711
    SESSION_NOT_FOUND = 712
    CONTEXT_OVERFLOW = 713
    MODEL_NOT_LOADED = 714
    OUT_OF_MEMORY = 715
    ENGINE_FAULT = 716
    TIMEOUT = 717
    CANCELED = 718
    OUTPUT_INVALID = 719
    CLOCK_JUMPED = 720
    SHUTTING_DOWN = 721
    DROPPED = 722
    QUERY_NOT_FOUND = 723
    MEMORY_FAULT = 724


# What each number means, as in ErrorInfo.msg, and what to do; docs/ros_errors.md is made of it.
MEANINGS: dict[Code, tuple[str, str]] = {
    Code.NONE: ("no error", "nothing"),
    Code.UNKNOWN: (
        "a fault that has no number of its own; see the node's log",
        "report it with the log; the node lives on, ask again",
    ),
    Code.NOT_ACTIVE: (
        'the node is not in the lifecycle state "active"',
        "`ros2 lifecycle set NODE configure`, then `activate`, or launch it with `autostart:=true`",
    ),
    Code.BUSY: (
        "the queue is full; retry_after_s says when to come back",
        "ask again after `retry_after_s`, or raise `queue.capacity`",
    ),
    Code.INVALID_REQUEST: (
        "empty or too long question, unknown format, bad numbers",
        "the message names the field; repair the request",
    ),
    Code.UNKNOWN_CAMERA: (
        "a camera that the parameters do not name",
        "ask with a name of the parameter `cameras`; the hint lists them",
    ),
    Code.NO_FRAMES: (
        "nothing has arrived from a required camera",
        "`ros2 topic info -v TOPIC`: is there a publisher, does its QoS fit? `/diagnostics` names "
        "misfits; `camera.NAME.required: false` answers without it",
    ),
    Code.STALE_FRAMES: (
        "frames have arrived, but all are older than allowed",
        "check the driver, `use_sim_time` and the clocks; allow more with `max_age_s` or "
        "`views.max_age_s`",
    ),
    Code.SYNC_FAILED: (
        "the newest frames of the cameras are further apart than allowed",
        "trigger the cameras together, raise `views.slop_s`, or set `sync.policy: warn`",
    ),
    Code.BAD_IMAGE: (
        "frames have arrived, but none could be decoded",
        "repair the driver: the message says which field does not fit",
    ),
    Code.TF_ERROR: (
        "a transform that the request cannot do without is missing",
        "`ros2 run tf2_ros tf2_echo FIXED OPTICAL`; check `fixed_frame`, raise `tf_timeout_s`",
    ),
    Code.SCENE_NOT_FOUND: (
        "unknown, released or expired scene_id",
        "freeze it again; `scene_ttl_s` and `scene_max` say how long and how many are kept",
    ),
    Code.SESSION_NOT_FOUND: (
        "no session of that name",
        "nothing to reset: the next question of that session freezes a new scene",
    ),
    Code.CONTEXT_OVERFLOW: (
        "views and question do not fit the model's context",
        "lower `views.count`, raise `budget.compression`, or shorten the question",
    ),
    Code.MODEL_NOT_LOADED: (
        "the node is not configured",
        "`ros2 lifecycle set NODE configure`; if that fails, its log and `/diagnostics` say why",
    ),
    Code.OUT_OF_MEMORY: (
        "model or scene do not fit the device's memory",
        "`model.quantization: int8`, fewer or smaller views, a smaller `model.scene_cache_mib`",
    ),
    Code.ENGINE_FAULT: (
        "the model failed; the node lives on",
        "ask again; if it stays, `oryx-scene conformance` on this device, and `~/dump_query`",
    ),
    Code.TIMEOUT: (
        "the deadline passed; the answer holds the text so far",
        "more `timeout_s` (or `query_timeout_s`), fewer tokens or views, or freeze the scene first",
    ),
    Code.CANCELED: ("the caller canceled; the answer holds the text so far", "nothing"),
    Code.OUTPUT_INVALID: (
        "a result could not be written",
        "check the folder `dump.folder`: disk full, no permission?",
    ),
    Code.CLOCK_JUMPED: (
        "time went backwards while the question was open",
        "ask again: a bag looped or a simulation was reset, and old frames were forgotten",
    ),
    Code.SHUTTING_DOWN: (
        "the node is being deactivated or ended",
        "ask again when the node is active",
    ),
    Code.DROPPED: (
        "a newer question took this one's place in the queue",
        "ask with a higher `priority`, or set `queue.policy: reject_new`",
    ),
    Code.QUERY_NOT_FOUND: (
        "dump_query: the query is not among the last ones",
        "dump sooner, or raise `dump.keep`",
    ),
    Code.MEMORY_FAULT: (
        "the memory is switched off, or its files cannot be read or written",
        "set `memory.folder`; the message says what is wrong with the folder",
    ),
}


@dataclass(frozen=True)
class Failure:
    """Why something was not done: a number for programs, a sentence and a hint for people."""

    code: Code
    message: str
    hint: str = ""
    retry_after_s: float = 0.0


class NodeError(OryxSceneError):
    """A refusal that already knows its number."""

    def __init__(
        self, code: Code, message: str, *, hint: str = "", retry_after_s: float = 0.0
    ) -> None:
        super().__init__(message, hint=hint)
        self.code = code
        self.retry_after_s = retry_after_s


# The first class that fits decides.
_CODES: tuple[tuple[type[OryxSceneError], Code], ...] = (
    (StaleFramesError, Code.STALE_FRAMES),
    (NoFramesError, Code.NO_FRAMES),
    (ImageDecodeError, Code.BAD_IMAGE),
    (TransformError, Code.TF_ERROR),
    (SceneMismatchError, Code.TF_ERROR),
    (BudgetError, Code.CONTEXT_OVERFLOW),
    (QuestionError, Code.INVALID_REQUEST),
    (DeviceMemoryError, Code.OUT_OF_MEMORY),
    (EngineError, Code.ENGINE_FAULT),
    (CheckpointError, Code.MODEL_NOT_LOADED),
    # JSON without the package that keeps it to a schema: this node cannot serve that request.
    (MissingExtraError, Code.INVALID_REQUEST),
    (OutputError, Code.OUTPUT_INVALID),
    (MemoryStoreError, Code.MEMORY_FAULT),
    (ConfigError, Code.INVALID_REQUEST),
)

STOP_SENTENCES = {
    Code.UNKNOWN: "the node met a fault that nobody foresaw; its log has the details.",
    Code.CANCELED: "the caller canceled the question.",
    Code.TIMEOUT: "the deadline passed before the answer was complete.",
    Code.CLOCK_JUMPED: "time jumped while the question was open; its frames are of another time.",
    Code.SHUTTING_DOWN: "the node is being deactivated or ended.",
    Code.DROPPED: "a newer question took this one's place in the full queue.",
}
_STOP_HINTS = {
    Code.TIMEOUT: "allow more time (timeout_s), fewer tokens, or fewer views",
    Code.CLOCK_JUMPED: "ask again",
    Code.SHUTTING_DOWN: "ask again when the node is active",
    Code.DROPPED: "ask again, with a higher priority if it matters more",
}

# The library's sentences name flags of the command line; who asks a node has parameters, and fields
# of a request (cameras, choices, format, json_schema, not_before, question, timeout_s).
NAMES_OF_FLAGS = {
    "--at": "not_before",
    "--cameras": "cameras",
    "--choices": "choices",
    "--compression": "budget.compression",
    "--deadline": "budget.deadline_s",
    "--detections": "camera.NAME.detections_topic",
    "--detections-topic": "camera.NAME.detections_topic",
    "--device": "model.device",
    "--dtype": "model.dtype",
    "--dump": "dump.folder",
    "--fixed-frame": "fixed_frame",
    "--format": "format",
    "--json-schema": "json_schema",
    "--max-marks": "marks.max_marks",
    "--max-new-tokens": "gen.max_new_tokens",
    "--model": "model.name",
    "--no-marks": "marks.enabled: false",
    "--out": "dump.folder",
    "--quantization": "model.quantization",
    "--question": "question",
    "--quota": "memory.quota_mib",
    "--rig": "rig_file",
    "--seed": "gen.seed",
    "--session": "memory.session",
    "--temperature": "gen.temperature",
    "--timeout": "timeout_s",
    "--top-p": "gen.top_p",
    "--views": "views.count",
}
# Flags of a command that is quoted whole are left as they are.
_FLAG = re.compile(r"`[^`]*`|(?<![\w-])--[a-z][a-z-]*")


def for_clients(text: str) -> str:
    """A sentence of the library with parameters and fields in place of command-line flags."""
    return _FLAG.sub(lambda found: NAMES_OF_FLAGS.get(found[0], found[0]), text)


def failure_of(err: OryxSceneError) -> Failure:
    """The failure that an error of the library or the node means, in words for clients."""
    message, hint = for_clients(err.message), for_clients(err.hint)
    if isinstance(err, NodeError):
        return Failure(err.code, message, hint, err.retry_after_s)
    for kind, code in _CODES:
        if isinstance(err, kind):
            return Failure(code, message, hint)
    return Failure(Code.UNKNOWN, message, hint)


def stopped(code: Code) -> Failure:
    """The failure of a question that was stopped from outside."""
    return Failure(code, STOP_SENTENCES[code], _STOP_HINTS.get(code, ""))
