"""Error numbers of answers (700-723), and which error of the library gets which. No rclpy here."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

from oryx_scene.errors import (
    BudgetError,
    CheckpointError,
    ConfigError,
    DeviceMemoryError,
    EngineError,
    ImageDecodeError,
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


def failure_of(err: OryxSceneError) -> Failure:
    """The failure that an error of the library or the node means."""
    if isinstance(err, NodeError):
        return Failure(err.code, err.message, err.hint, err.retry_after_s)
    for kind, code in _CODES:
        if isinstance(err, kind):
            return Failure(code, err.message, err.hint)
    return Failure(Code.UNKNOWN, err.message, err.hint)


def stopped(code: Code) -> Failure:
    """The failure of a question that was stopped from outside."""
    return Failure(code, STOP_SENTENCES[code], _STOP_HINTS.get(code, ""))
