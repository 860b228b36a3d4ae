"""The versioned JSON of an answer: plain dictionaries, lists, numbers and strings.

Numbers that are not known are null, never NaN. Only ``timings_s`` and ``counters`` differ when the
same question is asked twice. The schema is documented in docs/answer_json.md.
"""

from __future__ import annotations

import dataclasses
import math
from enum import Enum
from typing import Any

from oryx_scene.records import Mark, SceneAnswer

SCHEMA = "oryx_scene/answer/2"


def to_plain(value: Any) -> Any:
    """Turn records, tuples, enums and NaN into what ``json.dumps`` writes as strict JSON."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {
            item.name: to_plain(getattr(value, item.name)) for item in dataclasses.fields(value)
        }
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, dict):
        return {str(key): to_plain(item) for key, item in value.items()}
    if isinstance(value, tuple | list):
        return [to_plain(item) for item in value]
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return value


def _mark(mark: Mark, answer: SceneAnswer) -> dict[str, Any]:
    plain = to_plain(mark)
    for observation in plain["observations"]:
        evidence = answer.evidence[observation["view"]]
        observation["camera"] = evidence.camera
        observation["stamp_ns"] = evidence.stamp_ns
    return dict(plain)


def answer_to_dict(answer: SceneAnswer) -> dict[str, Any]:
    """The documented JSON object of ``answer``."""
    plain = to_plain(answer)
    plain.update(plain.pop("fields"))
    plain["marks"] = [_mark(mark, answer) for mark in answer.marks]
    plain["scene"] = [_mark(mark, answer) for mark in answer.scene]
    return {"schema": SCHEMA, **plain}
