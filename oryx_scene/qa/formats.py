"""Answers in a form: yes or no, one of the choices, mark numbers, JSON to a schema, text.

The first three are scored, not read from prose: the model says how likely each allowed answer is,
after its working where it was taught to write one. JSON is kept to its schema token by token. What
the options are and how scores become confidences is decided in `qa/scoring`; what an answer
wants of the model it yields, so that several answers can want it together (`batching`).
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

from oryx_scene.model.api import (
    Answerer,
    Generation,
    Limits,
    ModelCard,
    Scored,
    Scorer,
)
from oryx_scene.qa.batching import Asking, Weigh, Wishing
from oryx_scene.qa.parse import ParsedAnswer, lead_in, working_of
from oryx_scene.qa.query_context import QueryContext
from oryx_scene.qa.scoring import (
    Decision,
    Option,
    candidates_of,
    choice_options,
    decide,
    first_mark_options,
    next_mark_options,
    yes_no_options,
)
from oryx_scene.warning import Warning

SCORED_FORMS = ("yes_no", "choice", "marks")
# Below this the model would rather have said something else altogether.
LEAST_MASS = 0.05


@dataclass
class _Verdict:
    """What scoring has found so far."""

    text: str = ""
    confidence: float = 1.0
    scores: dict[str, float] = field(default_factory=dict)
    mass: float = 1.0
    verdict: str = ""
    choice: int = -1
    marks: tuple[int, ...] = ()


class _Halted(Exception):  # noqa: N818 - control flow, not a failure
    """A cancel or a deadline came before the answer."""

    def __init__(self, record: Generation) -> None:
        super().__init__(record.stop_reason)
        self.record = record


def ask_in_form(answerer: Answerer, asked: QueryContext) -> Asking:
    """An answer that has not begun; :func:`.batching.run_together` brings it to its end.

    Args:
        answerer: the model; only what it is and can do is asked of it here.
        asked: what the answer is to, and in which form it is wanted.

    Raises (once it runs):
        EngineError: the model failed.
        MissingExtraError: JSON without the extra that keeps it to a schema.
    """
    question = asked.question
    if asked.absent:
        return _no_such_mark(asked)
    if question.format in SCORED_FORMS and isinstance(answerer, Scorer):
        return (yield from _Form(answerer.card, asked).run())
    if question.format == "json":
        prompt = dataclasses.replace(asked.prompt, json_schema=question.json_schema)
        asked = dataclasses.replace(asked, prompt=prompt)
    generation = yield from asked.say()
    parsed = asked.read(generation.text)
    if question.format in SCORED_FORMS:
        note = "this answerer cannot score answers: the verdict was read from its text"
        warning = Warning("answer_not_scored", note)
        parsed = dataclasses.replace(parsed, warnings=(*parsed.warnings, warning))
    return generation, parsed


def _no_such_mark(asked: QueryContext) -> tuple[Generation, ParsedAnswer]:
    """The answer to a question about marks that there are not: no verdict on any other mark."""
    *rest, last = map(str, asked.absent)
    which = f"are no marks {', '.join(rest)} and {last}" if rest else f"is no mark {last}"
    listed = ", ".join(map(str, asked.numbers))
    there = f"the marks are {listed}" if listed else "nothing here has a number"
    text = f"There {which}: {there}."
    if asked.on_text is not None:
        asked.on_text(text)
    warning = Warning("no_such_mark", f"there {which}; the model was not asked")
    return Generation(text, (), "eos", 0, 0, ""), ParsedAnswer(
        text, "", (), asked.absent, warnings=(warning,)
    )


class _Form:
    """One scored answer."""

    def __init__(self, card: ModelCard, asked: QueryContext) -> None:
        self.card = card
        self.asked = asked
        self.form = asked.question.format
        self.started = time.perf_counter()
        self.warnings: list[Warning] = []
        self.record: Generation | None = None
        self.score_s = 0.0

    def run(self) -> Asking:
        """Working first where the model writes one, then the options' scores."""
        try:
            working, said = yield from self._write_working()
            self.asked = self.asked.after(working)
            found = yield from self._decide(said)
        except _Halted as halted:
            return self._halted(halted.record)
        if not said and self.asked.on_text is not None:
            self.asked.on_text(found.text)
        return self._finished(found, said)

    def _left(self) -> Limits:
        limits = self.asked.limits
        if limits.deadline_s is None:
            return limits
        left = limits.deadline_s - (time.perf_counter() - self.started)
        return dataclasses.replace(limits, deadline_s=max(0.0, left))

    def _write_working(self) -> Wishing[tuple[str, str]]:
        """(text up to the answer, the model's own whole text); ("", "") without a scratchpad."""
        if not self.card.scratchpad:
            return "", ""
        self.record = yield from self.asked.say()
        if self.record.stop_reason in ("cancelled", "deadline"):
            raise _Halted(self.record)
        working, whole = working_of(self.record.text)
        if not whole:
            text = "the scratchpad was cut off; the answer was scored after what is there"
            self.warnings.append(Warning("working_cut_off", text))
        return working, self.record.text

    def _score(self, options: Sequence[Option], after: str) -> Wishing[Decision]:
        """Scores of ``options`` as the answer goes on after ``after``."""
        started = time.perf_counter()
        scored = yield Weigh(self.asked.after(after).prompt, candidates_of(options), self._left())
        assert isinstance(scored, Scored)
        self.score_s += time.perf_counter() - started
        self.record = self.record or scored.generation
        if not scored.continuations:
            raise _Halted(
                dataclasses.replace(self.record, stop_reason=scored.generation.stop_reason)
            )
        return decide(
            options,
            scored.continuations,
            self.card.calibration.get(self.form),
            branching=self.form == "choice",
        )

    def _decide(self, said: str) -> Wishing[_Verdict]:
        if self.form == "yes_no":
            found = yield from self._score(yes_no_options(), "")
            sure = found.confidence >= self.asked.config.unsure_below
            verdict = found.best if sure else "unsure"
            return _verdict(found, verdict, verdict=verdict)
        if self.form == "choice":
            choices = self.asked.question.choices
            # A model that writes sentences is asked where its own one names a choice.
            lead = lead_in(said, choices) if said else None
            options = choice_options(choices, within=lead is not None)
            found = yield from self._score(options, lead or "")
            index = int(found.best)
            named = {choices[int(name)]: p for name, p in found.probabilities.items()}
            return dataclasses.replace(_verdict(found, choices[index], choice=index), scores=named)
        return (yield from self._decide_marks())

    def _decide_marks(self) -> Wishing[_Verdict]:
        """Numbers one after the other, each scored against the others and against the end."""
        options = first_mark_options(self.asked.numbers)
        found = yield from self._score(options, "")
        answer = _verdict(found, found.best)
        said, marks, after = "", [], ""
        while found.best not in ("none", "end"):
            marks.append(int(found.best))
            chosen = next(option for option in options if option.name == found.best)
            after += chosen.variants[found.variant].text
            rest = [number for number in self.asked.numbers if number not in marks]
            options = next_mark_options(rest)
            found = yield from self._score(options, after)
            answer.confidence *= found.confidence
        said = ", ".join(map(str, marks)) or "none"
        return dataclasses.replace(answer, text=said, marks=tuple(marks))

    def _finished(self, found: _Verdict, said: str) -> tuple[Generation, ParsedAnswer]:
        read = self.asked.read(said or found.text)
        if self.card.trained and found.mass < LEAST_MASS:
            text = (
                f"the allowed answers have {100 * found.mass:.2g} % of the model's probability: "
                "it would rather have said something else"
            )
            self.warnings.append(Warning("answer_improbable", text))
        if said and _disagree(read, found):
            text = f"the model's own words differ from its scored answer '{found.text}'"
            self.warnings.append(Warning("answer_differs_from_score", text))
        parsed = dataclasses.replace(
            read,
            marks=found.marks if self.form == "marks" else read.marks,
            verdict=found.verdict,
            choice=found.choice,
            confidence=found.confidence,
            scores=found.scores,
            warnings=tuple(self.warnings),
        )
        return self._record(), parsed

    def _halted(self, record: Generation) -> tuple[Generation, ParsedAnswer]:
        self.record = record
        parsed = self.asked.read(record.text)
        note = f"{record.stop_reason} before the answer was scored; there is no verdict"
        warning = Warning("answer_unfinished", note)
        return self._record(), dataclasses.replace(
            parsed, verdict="", choice=-1, marks=(), warnings=(warning,)
        )

    def _record(self) -> Generation:
        assert self.record is not None
        timings = {**self.record.timings_s, "score": self.score_s}
        timings["total"] = time.perf_counter() - self.started
        return dataclasses.replace(self.record, timings_s=timings)


def _verdict(found: Decision, text: str, *, verdict: str = "", choice: int = -1) -> _Verdict:
    return _Verdict(text, found.confidence, dict(found.probabilities), found.mass, verdict, choice)


def _disagree(read: ParsedAnswer, found: _Verdict) -> bool:
    if found.verdict in ("yes", "no"):
        return bool(read.verdict) and read.verdict != found.verdict
    if found.choice >= 0:
        return read.choice >= 0 and read.choice != found.choice
    return bool(found.marks) and set(read.marks) != set(found.marks)
