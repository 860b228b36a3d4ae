"""Errors of the library: one base class, children built from values.

Every error says what was expected, what came, and for which named thing; ``hint`` says what to do
about it. The command line prints ``message`` and ``hint`` on one line and exits with code 2; the
node copies them into an answer. Nothing here imports anything but the standard library.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path


class OryxSceneError(Exception):
    """Base of every error that a user can cause or repair.

    Args:
        message: what was expected, what came, for which named thing; one sentence.
        hint: what the user can do; one sentence, may be empty.
    """

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message} Hint: {self.hint}" if self.hint else self.message


class ConfigError(OryxSceneError):
    """A setting that is unknown or out of range, named by its dotted path."""


class MissingExtraError(OryxSceneError):
    """A package of an optional extra is not installed."""

    def __init__(self, package: str, extra: str, *, needed_for: str, cause: str = "") -> None:
        because = f" ({cause})" if cause else ""
        super().__init__(
            f"{needed_for} needs the package '{package}', which cannot be imported{because}.",
            hint=f"pip install 'oryx-scene[{extra}]'",
        )
        self.package = package
        self.extra = extra


class SourceError(OryxSceneError):
    """A bag, folder or picture that cannot be read as a source of frames."""

    def __init__(self, source: str | Path, problem: str, *, hint: str = "") -> None:
        super().__init__(f"{source}: {problem}", hint=hint)
        self.source = str(source)


class ImageDecodeError(OryxSceneError):
    """An image payload that cannot become pixels (encoding, step, size, broken jpeg)."""

    def __init__(self, name: str, problem: str, *, hint: str = "") -> None:
        super().__init__(f"image of '{name}': {problem}", hint=hint)
        self.name = name


class CalibrationError(OryxSceneError):
    """Intrinsics, distortion or rig numbers that cannot be right."""

    def __init__(self, name: str, problem: str, *, hint: str = "") -> None:
        super().__init__(f"calibration of '{name}': {problem}", hint=hint)
        self.name = name


class TransformError(OryxSceneError):
    """No transform between two coordinate frames at a stamp."""

    def __init__(
        self, target: str, source: str, stamp_ns: int, problem: str, *, hint: str = ""
    ) -> None:
        super().__init__(
            f"no transform from '{source}' to '{target}' at {stamp_ns / 1e9:.3f} s: {problem}",
            hint=hint,
        )
        self.target = target
        self.source = source
        self.stamp_ns = stamp_ns


class NoFramesError(OryxSceneError):
    """No usable frame for a question."""


class StaleFramesError(OryxSceneError):
    """Evidence older than the caller allows; refused rather than answered."""

    def __init__(self, camera: str, age_s: float, limit_s: float) -> None:
        super().__init__(
            f"newest frame of camera '{camera}' is {age_s:.3f} s old, allowed are {limit_s:.3f} s.",
            hint="check the camera's driver, or allow older frames with max_age_s",
        )
        self.camera = camera
        self.age_s = age_s
        self.limit_s = limit_s


class BudgetError(OryxSceneError):
    """Views that fit no compression within the token budget or the model's context."""


class QuestionError(OryxSceneError):
    """A question that is empty, too long or not text."""


class CheckpointError(OryxSceneError):
    """A checkpoint folder that is incomplete, damaged or of another architecture."""

    def __init__(
        self,
        folder: str | Path,
        problem: str,
        *,
        missing: Sequence[str] = (),
        extra: Sequence[str] = (),
        misshapen: Sequence[str] = (),
        hint: str = "",
    ) -> None:
        lists = (("missing", missing), ("extra", extra), ("misshapen", misshapen))
        named = "".join(f" {kind} ({len(n)}): {', '.join(n)}." for kind, n in lists if n)
        super().__init__(f"checkpoint {folder}: {problem}{named}", hint=hint)
        self.missing = tuple(missing)
        self.extra = tuple(extra)
        self.misshapen = tuple(misshapen)


class EngineError(OryxSceneError):
    """The model failed while answering; the process and the scene live on."""


class DeviceMemoryError(EngineError):
    """A model or a scene that does not fit into the device's memory."""


class OutputError(OryxSceneError):
    """A result that cannot be written (full disk, no permission)."""

    def __init__(self, path: str | Path, problem: str, *, hint: str = "") -> None:
        super().__init__(f"cannot write {path}: {problem}", hint=hint)
        self.path = str(path)


class TrainingError(OryxSceneError):
    """A training run that ended before its time."""


class SceneMismatchError(OryxSceneError):
    """Two scenes that cannot be compared with each other."""


class MemoryStoreError(OryxSceneError):
    """A memory that cannot be opened or written, or whose quota is used up by rows of instances."""

    def __init__(self, folder: str | Path, problem: str, *, hint: str = "") -> None:
        super().__init__(f"memory {folder}: {problem}", hint=hint)
        self.folder = str(folder)


class AlignmentError(OryxSceneError):
    """A session whose poses are not in the coordinate frame of the memory's map."""
