"""Comparing a repeated answer with the dumped one: the first difference, in words.

Order: evidence, scene, prompt, model, prompt tokens, generated tokens, text, every other field of
the answer. Times and counters of work are never compared; device, kernels and software version are
reported elsewhere.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from oryx_scene.dump.folder import Dump, PromptRecord
from oryx_scene.model.api import ModelCard
from oryx_scene.qa.answer_json import answer_to_dict
from oryx_scene.records import SceneAnswer
from oryx_scene.scene.freeze import Scene

# An answer that time, its caller or a fault cut off can only be compared as far as it went.
CUT_SHORT = ("deadline", "cancelled", "error")
_MODEL_FIELDS = ("name", "revision", "dtype", "quantization")
# These say how long and how much was computed, which depends on what was asked before.
_NEVER_COMPARED = ("timings_s", "counters")
_REPORTED_ONLY = ("device", "attention", "linear", "software_version")


@dataclass(frozen=True)
class Difference:
    """The first place where a repeat differs.

    Attributes:
        where: "evidence", "scene", "prompt", "model", "prompt_tokens", "generated_tokens", "text"
            or "answer".
        what: one sentence.
        expected, came: as written in the dump, and as repeated.
    """

    where: str
    what: str
    expected: Any
    came: Any


def first_difference(
    dump: Dump, scene: Scene, prompt: PromptRecord, card: ModelCard, answer: SceneAnswer
) -> Difference | None:
    """The first difference between ``dump`` and its repeat, None where all is identical.

    Args:
        dump: as read.
        scene, prompt, card, answer: of the repeat.
    """
    came = _as_written(answer)
    cut = dump.answer.get("stop_reason") in CUT_SHORT
    return (
        _compare(dump.answer.get("evidence"), came["evidence"], "evidence", "evidence")
        or _scene(dump, scene)
        or _prompt(dump.prompt, prompt)
        or _model(dump.model, card)
        or _prompt_tokens(dump.prompt.tokens_sha256, answer)
        or _generated(dump.answer.get("token_ids", ()), answer.token_ids, cut)
        or (None if cut else _rest(dump.answer, came))
    )


def _as_written(answer: SceneAnswer) -> dict[str, Any]:
    """The answer's JSON as it would be read back."""
    return dict(json.loads(json.dumps(answer_to_dict(answer), allow_nan=False)))


def _scene(dump: Dump, scene: Scene) -> Difference | None:
    if scene.scene_id == dump.scene_id:
        return None
    texts = [part for part in scene.prompt if isinstance(part, str)]
    dumped = [part for part in dump.prompt.scene if not part.startswith("picture ")]
    if texts != dumped:
        # Looked at next, where the text that differs is named.
        return None
    what = "the pictures with their marks came out otherwise"
    return Difference("scene", what, dump.scene_id, scene.scene_id)


def _prompt(expected: PromptRecord, came: PromptRecord) -> Difference | None:
    if expected.sha256 == came.sha256:
        return None
    named = {
        "system text": (expected.system, came.system),
        **{
            f"part {i}": pair
            for i, pair in enumerate(zip(expected.scene, came.scene, strict=False), start=1)
        },
        "question": (expected.question, came.question),
        "beginning of the answer": (expected.answer_prefix, came.answer_prefix),
    }
    for name, (old, new) in named.items():
        if old != new:
            at = _common(old, new)
            what = f"the prompt's {name} differs from character {at} on"
            return Difference("prompt", what, old[at : at + 60], new[at : at + 60])
    return Difference("prompt", "the prompt's hash differs", expected.sha256, came.sha256)


def _common(old: Sequence[Any], new: Sequence[Any]) -> int:
    """Length of the common beginning."""
    shorter = min(len(old), len(new))
    return next((i for i in range(shorter) if old[i] != new[i]), shorter)


def _model(expected: ModelCard, came: ModelCard) -> Difference | None:
    for name in _MODEL_FIELDS:
        old, new = getattr(expected, name), getattr(came, name)
        if old != new:
            return Difference("model", f"another model: its {name} differs", old, new)
    return None


def _prompt_tokens(expected: str, answer: SceneAnswer) -> Difference | None:
    came = answer.provenance.get("tokens_sha256", "")
    # A question that failed before the model read it has none.
    if expected in ("", came):
        return None
    return Difference("prompt_tokens", "the same prompt became other token ids", expected, came)


def _generated(expected: Sequence[int], came: Sequence[int], cut: bool) -> Difference | None:
    came = came[: len(expected)] if cut else came
    at = _common(expected, came)
    if at < min(len(expected), len(came)):
        what = f"generated token {at} differs"
        return Difference("generated_tokens", what, expected[at], came[at])
    if len(expected) != len(came):
        what = f"the first {at} generated tokens agree, then one of the two ends"
        return Difference("generated_tokens", what, len(expected), len(came))
    return None


def _rest(expected: dict[str, Any], came: dict[str, Any]) -> Difference | None:
    old, new = _comparable(expected), _comparable(came)
    text = _compare(old.get("text"), new["text"], "text", "text")
    return text or _compare(old, new, "answer", "answer")


def _comparable(answer: dict[str, Any]) -> dict[str, Any]:
    kept = {key: value for key, value in answer.items() if key not in _NEVER_COMPARED}
    provenance = kept.get("provenance") or {}
    kept["provenance"] = {k: v for k, v in provenance.items() if k not in _REPORTED_ONLY}
    return kept


def _compare(expected: Any, came: Any, path: str, where: str) -> Difference | None:
    """The first leaf, in key order, where two JSON values differ."""
    if isinstance(expected, dict) and isinstance(came, dict):
        return _compare_objects(expected, came, path, where)
    if isinstance(expected, list) and isinstance(came, list):
        return _compare_lists(expected, came, path, where)
    if expected != came or type(expected) is not type(came):
        return Difference(where, f"{path} differs", expected, came)
    return None


def _compare_objects(
    expected: dict[str, Any], came: dict[str, Any], path: str, where: str
) -> Difference | None:
    for key in sorted({*expected, *came}):
        if key not in expected or key not in came:
            side = "the repeat" if key in expected else "the dump"
            what = f"{path}.{key} is missing in {side}"
            return Difference(where, what, expected.get(key), came.get(key))
        found = _compare(expected[key], came[key], f"{path}.{key}", where)
        if found is not None:
            return found
    return None


def _compare_lists(
    expected: list[Any], came: list[Any], path: str, where: str
) -> Difference | None:
    for index, (old, new) in enumerate(zip(expected, came, strict=False)):
        found = _compare(old, new, f"{path}[{index}]", where)
        if found is not None:
            return found
    if len(expected) != len(came):
        return Difference(where, f"{path} has another length", len(expected), len(came))
    return None
