"""Warnings as records: what was missing, doubtful or degraded, where, and what to do about it.

Severity, meaning and advice belong to the code and stand once, in :data:`KINDS`; the text says what
happened this time. docs/warnings.md is made from the table. Nothing here imports anything but the
standard library.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NamedTuple

Severity = Literal["note", "warning", "problem"]


class Kind(NamedTuple):
    """What all warnings of one code have in common.

    Attributes:
        severity: "note" changes no answer, "warning" may, "problem" prevents answers or 3D places.
        meaning: one sentence.
        advice: what the user can do; one sentence.
    """

    severity: Severity
    meaning: str
    advice: str


KINDS: dict[str, Kind] = {
    "no_camera_info": Kind(
        "problem",
        "A camera has no calibration, so nothing it sees has a place.",
        "record its camera_info, or give a rig file (--rig)",
    ),
}


@dataclass(frozen=True)
class Warning:
    """One thing that is missing, doubtful or degraded.

    Attributes:
        code: key of :data:`KINDS`.
        text: what happened this time; one sentence without an advice.
        camera: our name of the camera, "" where it is about none.
        topic: topic or file of the recording, "" where it is about none.
        stamp_ns: capture stamp of the frame, None where it is about none.
        advice: what to do; that of the kind where the caller knows nothing better.

    Raises:
        ValueError: no such code.
    """

    code: str
    text: str
    camera: str = ""
    topic: str = ""
    stamp_ns: int | None = None
    advice: str = ""

    def __post_init__(self) -> None:
        if self.code not in KINDS:
            raise ValueError(f"no warning has the code '{self.code}'; see KINDS")
        if not self.advice:
            object.__setattr__(self, "advice", KINDS[self.code].advice)

    @property
    def severity(self) -> Severity:
        """Of the kind: "note", "warning" or "problem"."""
        return KINDS[self.code].severity

    @property
    def origin(self) -> str:
        """Where it comes from, in words: camera, topic and stamp as far as they are known."""
        stamp = "" if self.stamp_ns is None else f"at {self.stamp_ns / 1e9:.3f} s"
        return " ".join(part for part in (self.camera, self.topic, stamp) if part)

    def __str__(self) -> str:
        return f"{self.origin}: {self.text}" if self.origin else self.text

    def as_dict(self) -> dict[str, str | int]:
        """For JSON; what is not known is left out."""
        found = {"code": self.code, "severity": self.severity, "text": self.text}
        where = {"camera": self.camera, "topic": self.topic, "stamp_ns": self.stamp_ns}
        return {
            **found,
            **{key: value for key, value in where.items() if value not in ("", None)},
            "advice": self.advice,
        }
