"""The questions file of a replay: YAML, checked before anything is loaded; and when each is asked.

Documented in docs/replay.md. Knows no recording: moments are seconds after the first frame.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from oryx_scene.errors import ConfigError, QuestionError
from oryx_scene.qa.formats import FORMATS, check_question
from oryx_scene.records import Question

_KEYS = ("id", "text", "format", "choices", "json_schema", "at", "every")


@dataclass(frozen=True)
class AskedQuestion:
    """One entry of the file.

    Attributes:
        name: unique within the file; "q1", "q2", ... where none is given.
        question: as checked.
        at_s: moments to ask it at, seconds after the first frame; empty where not given.
        every_s: period to ask it with, 0 where not given.
    """

    name: str
    question: Question
    at_s: tuple[float, ...] = ()
    every_s: float = 0.0


def load_questions(path: str | Path) -> tuple[AskedQuestion, ...]:
    """Read a questions file.

    Raises:
        ConfigError: not readable, not YAML, or an entry that cannot be asked, named by its place.
    """
    try:
        value = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    except OSError as err:
        raise ConfigError(f"cannot read {path}: {err.strerror}.") from err
    except (yaml.YAMLError, UnicodeDecodeError) as err:
        raise ConfigError(
            f"{path} is not YAML: {' '.join(str(err).split())}.",
            hint="texts with ? : # or brackets may need quotes",
        ) from err
    if isinstance(value, dict):
        unknown = sorted(str(key) for key in value if key != "questions")
        if unknown:
            raise ConfigError(f"{path}: unknown key '{unknown[0]}'.", hint="known here: questions")
        value = value.get("questions")
    if not isinstance(value, list) or not value:
        raise ConfigError(
            f"{path} must hold a list of questions.", hint="e.g.\nquestions:\n- What is there?"
        )
    entries = tuple(_entry(item, index, str(path)) for index, item in enumerate(value))
    names = [entry.name for entry in entries]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise ConfigError(f"{path}: two questions have the id '{twice}'.")
    return entries


def _entry(item: Any, index: int, path: str) -> AskedQuestion:
    place = f"{path}: questions[{index}]"
    if isinstance(item, str):
        item = {"text": item}
    if not isinstance(item, dict):
        raise ConfigError(f"{place} must be text or a group with 'text', got {item!r}.")
    unknown = next((key for key in item if key not in _KEYS), None)
    if unknown is not None:
        raise ConfigError(
            f"{place}: unknown key '{unknown}'.", hint=f"known here: {', '.join(_KEYS)}"
        )
    name = item.get("id", f"q{index + 1}")
    if not isinstance(name, str) or not name.strip():
        raise ConfigError(f"{place}.id must be text, got {name!r}.")
    return AskedQuestion(
        name=name,
        question=_question(item, place),
        at_s=_moments(item.get("at", []), f"{place}.at"),
        every_s=_period(item.get("every"), f"{place}.every"),
    )


def _question(item: dict[str, Any], place: str) -> Question:
    text = item.get("text")
    if not isinstance(text, str):
        raise ConfigError(f"{place}.text must be text, got {text!r}.")
    choices = item.get("choices", [])
    if not isinstance(choices, list) or not all(isinstance(choice, str) for choice in choices):
        raise ConfigError(f"{place}.choices must be a list of texts, got {choices!r}.")
    kind = item.get("format", "choice" if choices else "text")
    if not isinstance(kind, str) or kind not in FORMATS:
        raise ConfigError(f"{place}.format is {kind!r}.", hint=f"one of {', '.join(FORMATS)}")
    if bool(choices) != (FORMATS[kind].needs == "choices"):
        raise ConfigError(f"{place}: format 'choice' and a list of choices go together.")
    schema = item.get("json_schema", "")
    if not isinstance(schema, str):
        raise ConfigError(f"{place}.json_schema must be JSON text, got {schema!r}.")
    try:
        return check_question(Question(text, kind, tuple(choices), schema))
    except QuestionError as err:
        raise ConfigError(f"{place}: {err.message}", hint=err.hint) from err


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e9


def _moments(value: Any, place: str) -> tuple[float, ...]:
    values = value if isinstance(value, list) else [value]
    if not all(_is_number(item) and item >= 0 for item in values):
        raise ConfigError(f"{place} must be seconds after the first frame, got {value!r}.")
    return tuple(float(item) for item in values)


def _period(value: Any, place: str) -> float:
    if value is None:
        return 0.0
    if not _is_number(value) or value <= 0:
        raise ConfigError(f"{place} must be a number of seconds above 0, got {value!r}.")
    return float(value)


@dataclass(frozen=True)
class QuestionTime:
    """A moment of the recording and the questions (indices into the file) asked then."""

    at_ns: int
    questions: tuple[int, ...]


def make_schedule(
    entries: Sequence[AskedQuestion],
    first_ns: int,
    last_ns: int,
    *,
    every_s: float | None = None,
    at_ns: Sequence[int] = (),
    to_last: bool = False,
) -> tuple[QuestionTime, ...]:
    """Moments in time order.

    An entry's own ``at`` and ``every`` come before ``every_s`` and ``at_ns``; without any of them a
    question is asked once, about the newest frame.

    Args:
        entries: of the file.
        first_ns, last_ns: stamps of the first and the last frame.
        every_s: period for entries without times, from the first frame on.
        at_ns: moments for entries without times.
        to_last: every period ends with the last frame: none of a folder of pictures is left over.

    Raises:
        ConfigError: a moment before the first frame, or after the last.
    """
    asked: dict[int, list[int]] = {}
    for index, entry in enumerate(entries):
        moments = _times(entry, first_ns, last_ns, every_s, at_ns)
        periodic = entry.every_s or (every_s is not None and not entry.at_s)
        if to_last and periodic and moments[-1] != last_ns:
            moments.append(last_ns)
        for moment in moments:
            if not first_ns <= moment <= last_ns:
                raise ConfigError(
                    f"question '{entry.name}' is asked {(moment - first_ns) / 1e9:.3f} s after the "
                    f"first frame; the recording is {(last_ns - first_ns) / 1e9:.3f} s long."
                )
            asked.setdefault(moment, []).append(index)
    return tuple(QuestionTime(moment, tuple(asked[moment])) for moment in sorted(asked))


def _times(
    entry: AskedQuestion,
    first_ns: int,
    last_ns: int,
    every_s: float | None,
    at_ns: Sequence[int],
) -> list[int]:
    if entry.at_s or entry.every_s:
        own = {first_ns + round(second * 1e9) for second in entry.at_s}
        if entry.every_s:
            own |= set(range(first_ns, last_ns + 1, round(entry.every_s * 1e9)))
        return sorted(own)
    if at_ns:
        return sorted(set(at_ns))
    if every_s is not None:
        return list(range(first_ns, last_ns + 1, max(1, round(every_s * 1e9))))
    return [last_ns]
