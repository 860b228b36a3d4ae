"""What a format of answers is, in two kinds: generated text that is read, and scored answers.

Verdicts, choices and marks are scored, not read from prose: the model says how likely each allowed
answer is, after its working where it was taught to write one. What the options are and how scores
become confidences is decided in `scoring`; the formats themselves are in `formats`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, ClassVar

from oryx_scene.model.api import Generation, Scorer
from oryx_scene.qa.parse import ParsedAnswer, parse_text
from oryx_scene.qa.query import Halted, Query, Steps
from oryx_scene.qa.scoring import Decision
from oryx_scene.records import Question, SceneAnswer
from oryx_scene.warning import Warning


class AnswerFormat:
    """One format; the methods here are those of the model's own words.

    Attributes:
        name: as questions, command line and files call it.
        code: of the interfaces AskScene and Ask, whose constant is the name in capitals.
        gives, found: what comes back and how it is found, for docs/answers.md.
        needs: field of ``Question`` without which it cannot be asked, "" for none.
        empty: fields that it fills in an answer -> what they are in every other answer.
    """

    name: ClassVar[str]
    code: ClassVar[int]
    gives: ClassVar[str]
    found: ClassVar[str] = "generated"
    needs: ClassVar[str] = ""
    empty: ClassVar[Mapping[str, float | int | str]] = {}

    def check(self, question: Question) -> None:
        """Refuse a question that lacks what the format needs.

        Raises:
            QuestionError: it does.
        """

    def instruction(self, question: Question) -> str:
        """The last line of the prompt: how to answer. An exact one is worth more than any fact."""
        return ""

    def read(self, parsed: ParsedAnswer, question: Question) -> ParsedAnswer:
        """``parsed`` with what this format reads from its text, or a warning that it holds none."""
        return parsed

    def answer(self, query: Query) -> Steps[ParsedAnswer]:
        """Bring ``query`` to its answer.

        Raises (once it runs):
            EngineError: the model failed.
            MissingExtraError: JSON without the extra that keeps it to a schema.
        """
        schema = query.question.json_schema if self.needs == "json_schema" else ""
        generation = yield from query.generate(schema)
        parsed = self.read(parse_text(generation.text, query.numbers), query.question)
        return dataclasses.replace(parsed, generation=generation)

    def message(self, answer: SceneAnswer) -> dict[str, float | int | str]:
        """Its fields of the message Answer."""
        return {
            name: answer.fields.get(name, getattr(answer, name, value))
            for name, value in self.empty.items()
        }


class ScoredFormat(AnswerFormat):
    """A format whose allowed answers are scored, by an answerer that can."""

    decides: ClassVar[str]  # the field of the answer that the scores decide

    def decide(self, query: Query, said: str) -> Steps[ParsedAnswer]:
        """The answer by its scores: text, confidence, scores and the decided field.

        Args:
            query: its model may have written its working.
            said: the model's own whole text, "" where it wrote none.
        """
        raise NotImplementedError

    def differs(self, read: ParsedAnswer, scored: ParsedAnswer) -> bool:
        """Whether the model's own words say something else than their scores."""
        raise NotImplementedError

    def answer(self, query: Query) -> Steps[ParsedAnswer]:
        """Working first where the model writes one, then the options' scores."""
        if not isinstance(query.answerer, Scorer):
            parsed = yield from super().answer(query)
            note = "this answerer cannot score answers: the verdict was read from its text"
            return with_warning(parsed, "answer_not_scored", note)
        try:
            said = yield from query.write_working()
            scored = yield from self.decide(query, said)
        except Halted:
            return self._halted(query)
        if not said and query.on_text is not None:
            query.on_text(scored.text)
        read = self.read(parse_text(said or scored.text, query.numbers), query.question)
        if said and self.differs(read, scored):
            text = f"the model's own words differ from its scored answer '{scored.text}'"
            query.warnings.append(Warning("answer_differs_from_score", text))
        return dataclasses.replace(
            read,
            **{self.decides: getattr(scored, self.decides)},
            confidence=scored.confidence,
            scores=scored.scores,
            warnings=tuple(query.warnings),
            generation=query.record(),
        )

    def _halted(self, query: Query) -> ParsedAnswer:
        record = query.record()
        parsed = parse_text(record.text, query.numbers)
        note = f"{record.stop_reason} before the answer was scored; there is no verdict"
        warning = Warning("answer_unfinished", note)
        return dataclasses.replace(parsed, marks=(), warnings=(warning,), generation=record)


def with_warning(parsed: ParsedAnswer, code: str, text: str) -> ParsedAnswer:
    """``parsed`` with one warning more, unless ``text`` is empty."""
    if not text:
        return parsed
    return dataclasses.replace(parsed, warnings=(*parsed.warnings, Warning(code, text)))


def scored_answer(
    found: Decision, text: str, scores: Mapping[str, float], **decided: Any
) -> ParsedAnswer:
    """What scoring has found: ``text`` stands for it, ``decided`` is the format's own field."""
    return ParsedAnswer(text, confidence=found.confidence, scores=dict(scores), **decided)


def no_such_mark(query: Query) -> ParsedAnswer:
    """The answer to a question about marks that there are not: no verdict on any other mark."""
    *rest, last = map(str, query.absent)
    which = f"are no marks {', '.join(rest)} and {last}" if rest else f"is no mark {last}"
    listed = ", ".join(map(str, query.numbers))
    there = f"the marks are {listed}" if listed else "nothing here has a number"
    text = f"There {which}: {there}."
    if query.on_text is not None:
        query.on_text(text)
    warning = Warning("no_such_mark", f"there {which}; the model was not asked")
    return ParsedAnswer(
        text,
        unknown_marks=query.absent,
        warnings=(warning,),
        generation=Generation(text, (), "eos", 0, 0, ""),
    )
