"""Where a thing was last seen, and whether it is still there: rows in, a documented answer out.

Place, time and "ago" are those of rows; nothing here asks a model. Words are matched on labels,
measured colour and shape, and the full text of past answers (`retrieval`).
"""

from __future__ import annotations

import dataclasses
import json
import math
import sqlite3
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from oryx_scene.marks.places import as_covariance
from oryx_scene.memory.retrieval import Match, Words, find_instances, read_words
from oryx_scene.memory.store import MemoryStore
from oryx_scene.qa.answer_json import to_plain
from oryx_scene.records import Covariance, Vector3
from oryx_scene.warning import Warning

SCHEMA = "oryx_scene/where/1"
# From SURE on an instance is meant, below LEAST_SURE it is not; between them nothing is said.
# Others of at least RIVAL_SHARE of the surest one's confidence might be meant as well.
SURE, LEAST_SURE, RIVAL_SHARE = 0.5, 0.2, 0.75
MOST_CANDIDATES = 10
# Good distances to look at a thing from, and how far in time a place of the path may be off a view.
GOAL_M = (0.6, 3.5)
GOAL_SLOP_NS = 600_000_000

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
    words = read_words(store, text)
    newest = newest_ns(store)
    asked_ns = newest if at_ns is None else at_ns
    matches = [m for m in find_instances(store, words, asked_ns) if m.confidence >= LEAST_SURE]
    found = [_candidate(store, match, asked_ns) for match in matches[:MOST_CANDIDATES]]
    candidates = tuple(item for item in found if item is not None)
    answer = WhereAnswer(
        text,
        _status(words, candidates),
        asked_ns,
        candidates=candidates,
        understood={
            "colours": words.colours,
            "shapes": words.shapes,
            "labels": words.labels,
            "unknown": words.unknown,
        },
        warnings=_warnings(words, candidates),
    )
    if answer.status not in ("seen", "gone"):
        best = candidates[0].confidence if candidates else 0.0
        return dataclasses.replace(answer, confidence=best)
    return _told(store, answer, candidates[0])


def newest_ns(store: MemoryStore) -> int:
    """Newest stamp of all sessions, 0 of an empty memory."""
    return int(store.rows("SELECT coalesce(max(done_ns), 0) FROM sessions")[0][0])


def _status(words: Words, candidates: tuple[Candidate, ...]) -> Status:
    """What is said of the candidates, surest first."""
    if not candidates:
        return "unsure" if words.unknown else "never"
    best = candidates[0]
    if best.confidence < SURE:
        return "unsure"
    rivals = [c for c in candidates[1:] if c.confidence >= RIVAL_SHARE * best.confidence]
    return "several" if rivals else best.status


def _warnings(words: Words, candidates: tuple[Candidate, ...]) -> tuple[Warning, ...]:
    found = []
    if words.unknown:
        listed = ", ".join(words.unknown)
        text = f"neither measured nor among labels and past answers: {listed}"
        found.append(Warning("memory_words_unknown", text))
    if _status(words, candidates) == "several":
        count = sum(c.confidence >= RIVAL_SHARE * candidates[0].confidence for c in candidates)
        found.append(Warning("memory_same_look", f"{count} things fit the words"))
    return tuple(found)


def _candidate(store: MemoryStore, match: Match, at_ns: int) -> Candidate | None:
    """An instance as it was at ``at_ns``."""
    stays = store.rows(
        "SELECT s.*, m.frame_id AS frame_id, max(min(v.last_ns, ?)) AS seen_ns FROM stays s "
        "JOIN intervals v ON v.stay = s.id JOIN instances i ON i.id = s.instance "
        "JOIN maps m ON m.id = i.map WHERE s.instance = ? AND v.first_ns <= ? "
        "GROUP BY s.id ORDER BY seen_ns DESC, s.id DESC",
        at_ns,
        match.instance,
        at_ns,
    )
    if not stays:
        return None
    row, seen_ns = stays[0], int(stays[0]["seen_ns"])
    missed = _missed(store, row["id"], seen_ns, at_ns)
    matrix = np.frombuffer(row["covariance"], "<f8").reshape(3, 3)
    return Candidate(
        match.instance,
        row["id"],
        match.described,
        match.confidence,
        "seen" if missed is None else "gone",
        _place(row),
        as_covariance(matrix),
        (row["size_x"], row["size_y"], row["size_z"]),
        row["frame_id"],
        seen_ns,
        missed,
        _place(stays[1]) if len(stays) > 1 else None,
    )


def _place(row: sqlite3.Row) -> Vector3:
    return row["x"], row["y"], row["z"]


def _missed(store: MemoryStore, stay: int, seen_ns: int, at_ns: int) -> int | None:
    """When the place of a stay was first looked through since ``seen_ns``; None: not surely."""
    rows = store.rows(
        "SELECT first_ns, last_ns, views, sure FROM absences WHERE stay = ? AND first_ns > ? "
        "AND first_ns <= ? ORDER BY first_ns",
        stay,
        seen_ns,
        at_ns,
    )
    views = sum(row["views"] if row["last_ns"] <= at_ns else 2 for row in rows)
    needed = 2 if any(row["sure"] for row in rows) else 3
    if not rows or views < needed:
        return None
    return int(rows[0]["first_ns"])


def _told(store: MemoryStore, answer: WhereAnswer, best: Candidate) -> WhereAnswer:
    """The answer with the place, the times and the rows of its one candidate."""
    goal = _view_goal(store, best, answer.asked_ns) if best.status == "seen" else None
    return dataclasses.replace(
        answer,
        position=best.position,
        covariance=best.covariance,
        size=best.size,
        frame_id=best.frame_id,
        last_seen_ns=best.last_seen_ns,
        first_missed_ns=best.first_missed_ns,
        ago_s=(answer.asked_ns - best.last_seen_ns) / 1e9,
        confidence=best.confidence,
        instance=best.instance,
        evidence=_evidence(store, best, answer.asked_ns, goal),
        view_goal=goal,
    )


def _evidence(
    store: MemoryStore, best: Candidate, at_ns: int, goal: ViewGoal | None
) -> tuple[EvidenceRow, ...]:
    """The rows that an answer's numbers are in."""
    found = [EvidenceRow("stays", best.stay, "its place", best.last_seen_ns)]
    for row in store.rows(
        "SELECT id, last_ns FROM intervals WHERE stay = ? AND first_ns <= ? "
        "ORDER BY last_ns DESC LIMIT 1",
        best.stay,
        at_ns,
    ):
        found.append(EvidenceRow("intervals", row["id"], "last seen", min(row["last_ns"], at_ns)))
    if best.first_missed_ns is not None:
        for row in store.rows(
            "SELECT id, first_ns FROM absences WHERE stay = ? AND first_ns = ?",
            best.stay,
            best.first_missed_ns,
        ):
            text = "its place was looked through and it was not there"
            found.append(EvidenceRow("absences", row["id"], text, row["first_ns"]))
    for row in store.rows(
        "SELECT k.id, k.stamp_ns, k.camera, k.picture FROM sightings s JOIN keyframes k "
        "ON k.id = s.keyframe WHERE s.stay = ? AND k.stamp_ns <= ? "
        "ORDER BY k.picture IS NULL, k.stamp_ns DESC LIMIT 3",
        best.stay,
        at_ns,
    ):
        found.append(
            EvidenceRow(
                "keyframes",
                row["id"],
                "a picture of it" if row["picture"] else "a view of it, its picture dropped",
                row["stamp_ns"],
                row["camera"],
                row["picture"] or "",
            )
        )
    for row in store.rows(
        "SELECT id, stamp_ns, camera, picture FROM crops WHERE stay = ? AND stamp_ns <= ?",
        best.stay,
        at_ns,
    ):
        found.append(
            EvidenceRow(
                "crops", row["id"], "its picture", row["stamp_ns"], row["camera"], row["picture"]
            )
        )
    if goal is not None:
        found.append(EvidenceRow("path", goal.row, "it was seen from here", goal.stamp_ns))
    return tuple(found)


def _view_goal(store: MemoryStore, best: Candidate, at_ns: int) -> ViewGoal | None:
    """Where the robot was when a kept view showed most of the thing, at a good distance."""
    views = store.rows(
        "SELECT k.session, k.stamp_ns, k.pose, s.area * coalesce(s.visible, 0.5) AS shown "
        "FROM sightings s JOIN keyframes k ON k.id = s.keyframe "
        "WHERE s.stay = ? AND k.stamp_ns <= ? ORDER BY k.stamp_ns DESC LIMIT 50",
        best.stay,
        at_ns,
    )
    place = np.array(best.position)

    def worth(row: sqlite3.Row) -> float:
        camera = np.frombuffer(row["pose"], "<f8").reshape(4, 4)[:3, 3]
        off = float(np.linalg.norm(camera - place))
        return float(row["shown"]) * (1.0 if GOAL_M[0] <= off <= GOAL_M[1] else 0.2)

    for view in sorted(views, key=worth, reverse=True):
        rows = store.rows(
            "SELECT * FROM path WHERE session = ? AND stamp_ns BETWEEN ? AND ? "
            "ORDER BY abs(stamp_ns - ?) LIMIT 1",
            view["session"],
            view["stamp_ns"] - GOAL_SLOP_NS,
            view["stamp_ns"] + GOAL_SLOP_NS,
            view["stamp_ns"],
        )
        if rows:
            yaw = float(rows[0]["yaw"])
            turn = (0.0, 0.0, math.sin(yaw / 2.0), math.cos(yaw / 2.0))
            return ViewGoal(
                _place(rows[0]), yaw, turn, best.frame_id, rows[0]["stamp_ns"], rows[0]["id"]
            )
    return None


def where_to_dict(answer: WhereAnswer) -> dict[str, Any]:
    """The documented JSON object of an answer (docs/remember.md)."""
    plain: dict[str, Any] = to_plain(answer)
    return {"schema": SCHEMA, **plain}


def keep_answer(store: MemoryStore, answer: WhereAnswer, text: str) -> int:
    """Keep an answer as text with its evidence, for the full-text search of later questions."""
    instances = [answer.instance] if answer.instance is not None else []
    rows = [{"table": row.table, "row": row.row} for row in answer.evidence]
    with store.transaction():
        return store.insert(
            "answers",
            asked_ns=answer.asked_ns,
            question=answer.question,
            text=text,
            status=answer.status,
            evidence=json.dumps({"instances": instances, "rows": rows}),
        )
