"""Where a thing was last seen, and whether it is still there: rows in, a documented answer out.

Place, time and "ago" are those of rows; nothing here asks a model. Words are matched on labels,
measured colour and shape, and the full text of past answers (`retrieval`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from oryx_scene.frames import Covariance, Vector3
from oryx_scene.memory.store import MemoryStore
from oryx_scene.warning import Warning

SCHEMA = "oryx_scene/where/1"

Status = Literal["seen", "gone", "never", "unsure", "several"]


@dataclass(frozen=True)
class EvidenceRow:
    """A row that an answer rests on.

    Attributes:
        table, row: where it stands in the memory's database.
        says: what it says, for people.
        stamp_ns: of it.
        camera: that saw it, "" where the row is of several.
        picture: file beside the database, "" where there is none (any more).
    """

    table: str
    row: int
    says: str
    stamp_ns: int
    camera: str = ""
    picture: str = ""


@dataclass(frozen=True)
class Candidate:
    """An instance that the words may mean, as it was at the asked time.

    Attributes:
        instance, stay: rows.
        described: what it is, from labels, measured colour and shape.
        confidence: 0..1, how sure it is that the words mean it.
        status: "seen" or "gone".
        position, covariance, size: of its last place, metres, in ``frame_id``.
        last_seen_ns: stamp of the newest view that shows it there.
        first_missed_ns: stamp of the first view after that which looked through its place.
        moved_from: its place before, None where it was always here.
    """

    instance: int
    stay: int
    described: str
    confidence: float
    status: Literal["seen", "gone"]
    position: Vector3
    covariance: Covariance
    size: Vector3
    frame_id: str
    last_seen_ns: int
    first_missed_ns: int | None
    moved_from: Vector3 | None


@dataclass(frozen=True)
class ViewGoal:
    """A pose on ground that was driven, from which the thing was seen.

    Attributes:
        position: of the robot's base where its mounting is known, else below the camera.
        yaw: about z, rad, towards where the camera looked; ``orientation`` is its quaternion xyzw.
        row: of the table ``path``.
    """

    position: Vector3
    yaw: float
    orientation: tuple[float, float, float, float]
    frame_id: str
    stamp_ns: int
    row: int


@dataclass(frozen=True)
class WhereAnswer:
    """The answer of :func:`where`.

    Attributes:
        question: as asked.
        status: "seen" (not missed since), "gone" (its place was looked through since), "never",
            "several" (more than one fits: see ``candidates``), "unsure" (nothing fits surely).
        asked_ns: the clock that "ago" counts from.
        position, covariance, size, frame_id: last place; None unless "seen" or "gone".
        last_seen_ns, first_missed_ns: as in :class:`Candidate`.
        ago_s: asked_ns - last_seen_ns.
        confidence: 0..1, that the words mean this instance.
        instance: its row.
        evidence: rows.
        candidates: at most ten, surest first; also those that were not chosen.
        view_goal: None unless "seen".
        understood: how the words were read.
        warnings: what is missing or doubtful.
    """

    question: str
    status: Status
    asked_ns: int
    position: Vector3 | None = None
    covariance: Covariance | None = None
    size: Vector3 | None = None
    frame_id: str = ""
    last_seen_ns: int | None = None
    first_missed_ns: int | None = None
    ago_s: float | None = None
    confidence: float = 0.0
    instance: int | None = None
    evidence: tuple[EvidenceRow, ...] = ()
    candidates: tuple[Candidate, ...] = ()
    view_goal: ViewGoal | None = None
    understood: dict[str, Any] | None = None
    warnings: tuple[Warning, ...] = ()


def where(store: MemoryStore, text: str, at_ns: int | None = None) -> WhereAnswer:
    """Where the thing that ``text`` names was last seen.

    Args:
        store: open for reading or writing.
        text: "the red box", "where did you last see the red box?".
        at_ns: the clock: "now" of the question. Rows after it do not count. None is the newest
            stamp of the memory.

    Raises:
        QuestionError: no text.
        MemoryStoreError: the memory cannot be read.
    """
    raise NotImplementedError


def where_to_dict(answer: WhereAnswer) -> dict[str, Any]:
    """The documented JSON object of an answer (docs/remember.md)."""
    raise NotImplementedError
