"""The formats of an answer: one class each, and the one registry that everything else reads.

A format says how it is called, which instruction the prompt ends with, how the model's text is
read, and what it adds to the answer's JSON and message. Command line, replay, node and
docs/answers.md are made from `FORMATS`.
"""

from __future__ import annotations

import dataclasses
import math
import re
from collections.abc import Iterable, Sequence
from typing import ClassVar

from oryx_scene.errors import QuestionError
from oryx_scene.qa.answer_format import (
    AnswerFormat,
    ScoredFormat,
    no_such_mark,
    scored_answer,
    with_warning,
)
from oryx_scene.qa.parse import (
    ParsedAnswer,
    lead_in,
    named_numbers,
    parse_text,
    read_choice,
    read_json,
    read_verdict,
)
from oryx_scene.qa.query import Query, Steps
from oryx_scene.qa.scoring import (
    choice_options,
    first_mark_options,
    next_mark_options,
    yes_no_options,
)
from oryx_scene.records import Question, SceneAnswer

MAX_QUESTION_BYTES = 32 * 1024
SYSTEM_TEXT = "You are a helpful assistant."


class TextFormat(AnswerFormat):
    """The model's own words."""

    name, code = "text", 0
    gives = "the model's own words; marks that they name"


class YesNoFormat(ScoredFormat):
    """Yes or no, or unsure where the scores are too close."""

    name, code = "yes_no", 1
    gives = "`verdict` yes / no / unsure, `confidence`, `scores`"
    found = "scored"
    empty: ClassVar = {"verdict": ""}
    decides = "verdict"
    codes: ClassVar = {"": 0, "yes": 1, "no": 2, "unsure": 3}

    def instruction(self, question: Question) -> str:
        """Which words to use."""
        return "Answer yes or no."

    def read(self, parsed: ParsedAnswer, question: Question) -> ParsedAnswer:
        """How the text begins."""
        verdict = read_verdict(parsed.text)
        said = "" if verdict else "the answer says neither yes nor no"
        read = dataclasses.replace(parsed, verdict=verdict)
        return with_warning(read, "answer_without_verdict", said)

    def decide(self, query: Query, said: str) -> Steps[ParsedAnswer]:
        """The likelier one, if it is sure enough."""
        found = yield from query.score(yes_no_options())
        query.warn_if_improbable(found.mass)
        sure = found.confidence >= query.config.unsure_below
        verdict = found.best if sure else "unsure"
        return scored_answer(found, verdict, found.probabilities, verdict=verdict)

    def differs(self, read: ParsedAnswer, scored: ParsedAnswer) -> bool:
        """Two verdicts, both sure."""
        return scored.verdict != "unsure" and read.verdict not in ("", scored.verdict)

    def message(self, answer: SceneAnswer) -> dict[str, float | int | str]:
        """``verdict`` by its constant."""
        return {"verdict": self.codes.get(answer.verdict, 0)}


class ChoiceFormat(ScoredFormat):
    """One of the choices that the question lists."""

    name, code = "choice", 2
    gives = "`choice` (index), `confidence`, `scores`"
    found = "scored"
    needs = "choices"
    empty: ClassVar = {"choice": -1}
    decides = "choice"

    def check(self, question: Question) -> None:
        """At least two choices, none of them empty."""
        if len(question.choices) < 2:
            raise QuestionError(
                f"a choice question needs at least 2 choices, got {len(question.choices)}.",
                hint="list the allowed answers",
            )
        if not all(choice.strip() for choice in question.choices):
            raise QuestionError(
                "a choice is empty.", hint="give each choice at least one visible character"
            )

    def instruction(self, question: Question) -> str:
        """The choices."""
        return f"Answer with one of: {'; '.join(question.choices)}."

    def read(self, parsed: ParsedAnswer, question: Question) -> ParsedAnswer:
        """The one choice that the text names."""
        choice = read_choice(parsed.text, question.choices)
        said = "" if choice >= 0 else "the answer names none, or more than one, of the choices"
        read = dataclasses.replace(parsed, choice=choice)
        return with_warning(read, "answer_without_choice", said)

    def decide(self, query: Query, said: str) -> Steps[ParsedAnswer]:
        """A model that writes sentences is asked where its own one names a choice."""
        choices = query.question.choices
        lead = lead_in(said, choices) if said else None
        options = choice_options(choices, within=lead is not None)
        found = yield from query.score(options, lead or "")
        query.warn_if_improbable(found.mass)
        index = int(found.best)
        named = {choices[int(name)]: p for name, p in found.probabilities.items()}
        return scored_answer(found, choices[index], named, choice=index)

    def differs(self, read: ParsedAnswer, scored: ParsedAnswer) -> bool:
        """Two choices."""
        return read.choice not in (-1, scored.choice)


class MarksFormat(ScoredFormat):
    """A list of mark numbers."""

    name, code = "marks", 3
    gives = "`marks` in the order of the answer, `confidence`, `scores` of the first one"
    found = "scored, one number after the other"
    decides = "marks"

    def instruction(self, question: Question) -> str:
        """Numbers alone."""
        return "Answer with mark numbers only."

    def read(self, parsed: ParsedAnswer, question: Question) -> ParsedAnswer:
        """The marks are read in every format."""
        said = "" if parsed.marks or parsed.unknown_marks else "the answer names no mark"
        return with_warning(parsed, "answer_without_mark", said)

    def decide(self, query: Query, said: str) -> Steps[ParsedAnswer]:
        """Each number is scored against the others and against the end of the list."""
        options = first_mark_options(query.numbers)
        found = first = yield from query.score(options)
        query.warn_if_improbable(first.mass)
        confidence, marks, after = first.confidence, [], ""
        while found.best not in ("none", "end"):
            marks.append(int(found.best))
            chosen = next(option for option in options if option.name == found.best)
            after += chosen.variants[found.variant].text
            options = next_mark_options(n for n in query.numbers if n not in marks)
            found = yield from query.score(options, after)
            confidence *= found.confidence
        text = ", ".join(map(str, marks)) or "none"
        answer = scored_answer(first, text, first.probabilities, marks=tuple(marks))
        return dataclasses.replace(answer, confidence=confidence)

    def differs(self, read: ParsedAnswer, scored: ParsedAnswer) -> bool:
        """Another set of marks than a list that is not empty."""
        return bool(scored.marks) and set(read.marks) != set(scored.marks)


class JsonFormat(AnswerFormat):
    """JSON that is kept to a schema token by token."""

    name, code = "json", 4
    gives = "`json` that fits the schema"
    found = "generated under a constraint (extra `json`)"
    needs = "json_schema"
    empty: ClassVar = {"json": ""}

    def check(self, question: Question) -> None:
        """A schema is needed."""
        if not question.json_schema:
            raise QuestionError("a JSON question needs a schema.", hint="give a JSON schema")

    def instruction(self, question: Question) -> str:
        """The schema itself."""
        return "Answer with JSON that fits this schema: " + question.json_schema

    def read(self, parsed: ParsedAnswer, question: Question) -> ParsedAnswer:
        """The first JSON value."""
        value = read_json(parsed.text)
        said = "" if value else "the answer holds no JSON"
        return with_warning(dataclasses.replace(parsed, json=value), "answer_without_json", said)


class NumberFormat(AnswerFormat):
    """A number with its unit, where the answer's text holds just one beside mark numbers.

    Lengths come in metres, angles in radians; a count has no unit. The question itself asks for the
    number, so that the prompt is that of a text.
    """

    name, code = "number", 5
    gives = "`value` in SI units and `unit` (`m`, `rad`, or empty for a count)"
    found = "generated, read from the text, compared with what was measured"
    empty: ClassVar = {"value": math.nan, "unit": ""}

    def read(self, parsed: ParsedAnswer, question: Question) -> ParsedAnswer:
        """The one number; several are none, since nobody says which is meant."""
        found = list(_NUMBER.finditer(_MARKS.sub(" ", parsed.text)))
        if len(found) != 1:
            count = len(found) or "no"
            said = f"the answer holds {count} number{'' if len(found) == 1 else 's'}, not one"
            read = dataclasses.replace(parsed, fields=dict(self.empty))
            return with_warning(read, "answer_not_in_format", said)
        unit, factor = next(
            ((unit, factor) for name, unit, factor in _UNITS if found[0][name]), ("", 1.0)
        )
        value = float(found[0]["value"]) * factor
        fields: dict[str, float | int | str] = {"value": value, "unit": unit}
        return dataclasses.replace(
            parsed, fields=fields, statement=_statement(parsed, question, value, unit)
        )


def _statement(parsed: ParsedAnswer, question: Question, value: float, unit: str) -> str:
    """A bare length as a sentence about the marks whose distance is asked for, else ""."""
    asked = named_numbers(question.text)
    if parsed.marks or unit != "m" or not _DISTANCE.search(question.text):
        return ""
    if len(asked) == 1:
        return f"mark {asked[0]} is {value} m away"
    return f"mark {asked[0]} is {value} m from mark {asked[1]}" if len(asked) == 2 else ""


# Names of groups, SI unit and factor.
_UNITS = (
    ("mm", "m", 0.001),
    ("cm", "m", 0.01),
    ("km", "m", 1000.0),
    ("m", "m", 1.0),
    ("deg", "rad", math.pi / 180.0),
    ("rad", "rad", 1.0),
)
_NUMBER = re.compile(
    r"(?P<value>(?<![\w.])-?\d+(?:\.\d+)?)\s*(?:(?P<mm>mm\b|millimet(?:er|re)s?\b)"
    r"|(?P<cm>cm\b|centimet(?:er|re)s?\b)|(?P<km>km\b|kilomet(?:er|re)s?\b)"
    r"|(?P<m>m\b|met(?:er|re)s?\b)|(?P<deg>deg(?:ree)?s?\b|\u00b0)|(?P<rad>rad(?:ian)?s?\b))?",
    re.IGNORECASE,
)
# "mark 2", "marks 1 and 3", "#4": numbers of marks are no measures.
_MARKS = re.compile(
    r"(?:\b(?:marks?|objects?|discs?)\s*|(?=#))#?\d+\b(?!\.\d)"
    r"(?:\s*(?:,\s*and|,|and|&|or)\s*(?:marks?\s*)?#?\d+\b(?!\.\d|\s*[cmk]?m\b))*",
    re.IGNORECASE,
)
_DISTANCE = re.compile(r"\bhow\s+(?:far|close|near)\b|\bdistance\b", re.IGNORECASE)


FORMATS: dict[str, AnswerFormat] = {
    form.name: form
    for form in (
        TextFormat(),
        YesNoFormat(),
        ChoiceFormat(),
        MarksFormat(),
        JsonFormat(),
        NumberFormat(),
    )
}


def parse_answer(raw: str, question: Question, known_marks: Iterable[int]) -> ParsedAnswer:
    """Read the model's raw text as the answer to ``question`` about marks ``known_marks``."""
    return FORMATS[question.format].read(parse_text(raw, known_marks), question)


def answer_query(query: Query) -> Steps[ParsedAnswer]:
    """An answer that has not begun; :func:`.query.run_together` brings it to its end."""
    if query.absent:
        return no_such_mark(query)
    return (yield from FORMATS[query.question.format].answer(query))


def check_question(question: Question) -> Question:
    """Return ``question`` if it can be asked.

    Raises:
        QuestionError: empty, longer than 32 KiB, not valid text, or a format that lacks its part.
    """
    text = question.text
    if not text.strip():
        raise QuestionError("the question is empty.", hint='ask something, e.g. -q "What is here?"')
    try:
        size = len(text.encode("utf-8"))
    except UnicodeEncodeError as err:
        raise QuestionError(
            f"the question is not valid UTF-8 (at character {err.start}).",
            hint="check the encoding of the terminal or the file that the question comes from",
        ) from err
    if "\x00" in text:
        raise QuestionError("the question holds a NUL character.", hint="remove it")
    if size > MAX_QUESTION_BYTES:
        raise QuestionError(
            f"the question is {size} bytes long; at most {MAX_QUESTION_BYTES} are taken.",
            hint="shorten the question",
        )
    if question.format not in FORMATS:
        raise QuestionError(
            f"unknown answer format '{question.format}'.", hint=f"one of {', '.join(FORMATS)}"
        )
    FORMATS[question.format].check(question)
    return question


def question_text(question: Question, facts: Sequence[str]) -> str:
    """The text after the views: facts that fit, the question, how to answer."""
    parts = [*facts, question.text.strip(), FORMATS[question.format].instruction(question)]
    return "\n".join(part for part in parts if part)
