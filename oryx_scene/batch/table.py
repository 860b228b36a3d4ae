"""Answers as a Parquet table: one row per answer or error, the answer's JSON flattened.

The columns and what they mean stand once, in :data:`COLUMNS`; docs/fleet.md is made from it.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from oryx_scene.batch.folder import PARQUET
from oryx_scene.batch.task import RecordingPlan
from oryx_scene.errors import MissingExtraError, OutputError
from oryx_scene.qa.formats import FORMATS
from oryx_scene.records import SceneAnswer
from oryx_scene.replay.answer_index import AnswerIndex

SCHEMA = "oryx_scene/answers_table/1"
_ROWS = 500

_POSITION = "list<double>"
_WARNING = (
    "list<struct<code:string, severity:string, text:string, camera:string, topic:string, "
    "stamp_ns:int64, advice:string>>"
)
_SEEN = (
    "list<struct<view:int32, camera:string, stamp_ns:int64, u:double, v:double, radius_px:double, "
    "depth_m:double, visible_fraction:double, area_px:int64, bbox:list<double>, "
    "beside:list<double>>>"
)
_MARKS = (
    "list<struct<number:int32, label:string, score:double, frame_id:string, "
    f"position:{_POSITION}, position_std:double, covariance:list<list<double>>, "
    f"size:{_POSITION}, observations:{_SEEN}>>"
)
_EVIDENCE = (
    "list<struct<camera:string, stamp_ns:int64, frame_id:string, topic:string, encoding:string, "
    "height:int32, width:int32, sha256:string, depth_sha256:string, age_s:double, "
    "T_answer_camera:list<list<double>>>>"
)
_RELATIONS = (
    "list<struct<subject:int32, predicate:string, object:int32, reference:string, value:double, "
    "unit:string, std:double, source:string>>"
)
_TEXTS, _NUMBERS, _COUNTS = "map<string, string>", "map<string, double>", "map<string, int64>"

# What a format of answers has of its own (`value` and `unit` of a number, ...).
_OWN_FIELDS = tuple(
    (name, "string" if isinstance(empty, str) else "double", f"of format {form.name}")
    for form in FORMATS.values()
    for name, empty in form.empty.items()
    if name not in {one.name for one in dataclasses.fields(SceneAnswer)}
)

# (column, type as Arrow writes it, meaning). What the answer's JSON has under the same name is
# taken from there; docs/answer_json.md says more of it.
COLUMNS: tuple[tuple[str, str, str], ...] = (
    ("content_key", "string", "hash of recording, moment, question, settings and model: unique"),
    ("recording", "string", "name of the recording"),
    ("recording_sha256", "string", "of its content"),
    ("location", "string", "path or URL it was read from"),
    ("at_ns", "int64", "moment asked about, in the recording's own clock"),
    ("at_s", "double", "the same, seconds after the first frame"),
    ("question_id", "string", "of the questions file"),
    ("question", "string", "its text"),
    ("format", "string", f"{', '.join(FORMATS)}; null in a row of an error"),
    ("choices", "list<string>", "of a choice"),
    ("json_schema", "string", "of format json"),
    ("scene", "string", "names the snapshot, recordings/.../scenes/SCENE.npz"),
    ("error_type", "string", "null in a row of an answer"),
    ("error_message", "string", "what went wrong at this moment"),
    ("error_hint", "string", "what to do about it"),
    ("text", "string", "the answer, scratchpad removed"),
    ("scratchpad", "string", "the model's working"),
    ("verdict", "string", "yes, no, unsure or empty"),
    ("choice", "int32", "index into the choices, -1"),
    ("confidence", "double", "0..1 of a scored answer"),
    ("scores", _NUMBERS, "option -> probability"),
    ("json", "string", "compact JSON of format json"),
    *_OWN_FIELDS,
    ("marks", _MARKS, "that the text names, places in metres in frame_id"),
    ("scene_marks", _MARKS, "all marks of the scene (`scene` in the JSON)"),
    ("relations", _RELATIONS, "measured, and read from the text"),
    ("evidence", _EVIDENCE, "the frames, in the order the model saw them"),
    ("frame_id", "string", "coordinate frame of all places"),
    ("compression", "int32", "1, 4 or 16"),
    ("visual_tokens", "int32", "in the model's input"),
    ("prompt_tokens", "int32", "in the model's input"),
    ("generated_tokens", "int32", "new tokens"),
    ("stop_reason", "string", "eos, max_new_tokens, deadline, cancelled"),
    ("token_ids", "list<int64>", "generated, stop token included"),
    ("model", "string", "name of the model"),
    ("model_revision", "string", "hash of its files"),
    ("caution", "string", "why the answer is not to be trusted; else empty"),
    ("provenance", _TEXTS, "scene id, model, kernels, hashes, software version"),
    ("budget", _TEXTS, "the row of the decision table"),
    ("choice_of_views", _TEXTS, "how the views were chosen"),
    ("left_out", _COUNTS, "reason -> objects that got no mark"),
    ("left_out_by_view", f"list<{_COUNTS}>", "the same per view"),
    ("timings_s", _NUMBERS, "seconds per stage; differ from run to run"),
    ("counters", _NUMBERS, "of the engine; differ from run to run"),
    ("warnings", _WARNING, "a degraded path always has one"),
)


def require_pyarrow() -> None:
    """Say before hours of work that the table cannot be written.

    Raises:
        MissingExtraError: pyarrow is not installed.
    """
    _pyarrow()


def _pyarrow() -> Any:
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError as err:
        raise MissingExtraError("pyarrow", "batch", needed_for="Parquet", cause=str(err)) from err
    return pyarrow


def arrow_schema() -> Any:
    """The table's ``pyarrow.Schema``."""
    pa = _pyarrow()
    fields = [(name, _arrow_type(pa, kind)) for name, kind, _ in COLUMNS]
    return pa.schema(fields, metadata={"schema": SCHEMA})


def _arrow_type(pa: Any, kind: str) -> Any:
    """The Arrow type of its name: list<...>, map<k, v>, struct<name:type, ...> or a plain one."""
    head, _, inside = kind.partition("<")
    if not inside:
        return getattr(pa, {"double": "float64"}.get(kind, kind))()
    inside = inside.removesuffix(">")
    if head == "list":
        return pa.list_(_arrow_type(pa, inside))
    parts = _split(inside)
    if head == "map":
        return pa.map_(*(_arrow_type(pa, part) for part in parts))
    pairs = (part.partition(":") for part in parts)
    return pa.struct([(name, _arrow_type(pa, of)) for name, _, of in pairs])


def _split(text: str) -> list[str]:
    """At the commas that stand in no brackets."""
    parts, depth = [""], 0
    for letter in text:
        depth += (letter == "<") - (letter == ">")
        if letter == "," and not depth:
            parts.append("")
        else:
            parts[-1] += letter
    return [part.strip() for part in parts]


def row_of(plan: RecordingPlan, record: dict[str, Any]) -> dict[str, Any]:
    """One record of a replay as a row; columns that it has nothing for are null."""
    answer: dict[str, Any] = record.get("answer", {})
    question, provenance = answer.get("question", {}), answer.get("provenance", {})
    error = record.get("error", {})
    first_ns = int(plan.recording["first_ns"])
    row = {name: answer.get(name) for name, _, _ in COLUMNS}
    row |= {name: record.get(name) for name in ("content_key", "at_ns", "question_id", "question")}
    row |= {
        "recording": plan.recording["name"],
        "recording_sha256": plan.sha256,
        "location": plan.location,
        "at_s": (record["at_ns"] - first_ns) / 1e9,
        "scene": record.get("scene"),
        "scene_marks": answer.get("scene"),
        "model": provenance.get("model"),
        "model_revision": provenance.get("revision"),
        "caution": provenance.get("caution"),
    }
    row |= {name: question.get(name) for name in ("format", "choices", "json_schema")}
    row |= {f"error_{name}": error.get(name) for name in ("type", "message", "hint")}
    return {name: _cell(row[name], kind) for name, kind, _ in COLUMNS}


def _cell(value: Any, kind: str) -> Any:
    if value is None or "map<" not in kind:
        return value
    if kind.startswith("list<"):
        return [_cell(item, kind[5:-1]) for item in value]
    as_text = kind == _TEXTS
    return [(key, _plain_text(item) if as_text else item) for key, item in value.items()]


def _plain_text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def write_table(plan: RecordingPlan, replay_folder: Path, path: Path) -> int:
    """Write the answers about one recording in time order; returns how many rows.

    Raises:
        OutputError: ``path`` cannot be written.
        SourceError: the replay's folder is damaged.
    """
    pa, schema = _pyarrow(), arrow_schema()
    part = path.with_name(path.name + ".part")
    index = AnswerIndex(replay_folder)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with pa.parquet.ParquetWriter(part, schema, compression="zstd") as writer:
            for start in range(0, len(index.places), _ROWS):
                places = index.places[start : start + _ROWS]
                rows = [row_of(plan, index.read(place)) for place in places]
                writer.write_table(pa.Table.from_pylist(rows, schema=schema))
        part.replace(path)
    except OSError as err:
        raise OutputError(path, err.strerror or str(err)) from err
    return len(index.places)


def table_path(folder: Path, plan: RecordingPlan) -> Path:
    """Where the table of a recording is, in a batch's folder."""
    return folder / PARQUET / f"{plan.folder}.parquet"


def markdown_rows() -> Iterator[str]:
    """The columns as rows of the table in docs/fleet.md."""
    for name, kind, meaning in COLUMNS:
        yield f"| `{name}` | `{kind}` | {meaning} |"
