"""One question from its format to its answer; several of them are brought to their ends together.

An answer is a generator: it yields calls of the model (generate text, score candidates) and is sent
what the model made of them. Calls of the same kind that are open at the same time go to the model
in one batch where it can do that. Which calls an answer makes is decided by its format (`formats`).
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias, TypeVar

from oryx_scene.config import AnswersConfig
from oryx_scene.model.api import (
    Answerer,
    Candidate,
    Generation,
    Limits,
    ManyAnswerer,
    Prompt,
    Scored,
    Scorer,
    TextSink,
)
from oryx_scene.qa.parse import ParsedAnswer, working_of
from oryx_scene.qa.scoring import Decision, Option, candidates_of, decide
from oryx_scene.records import Question
from oryx_scene.warning import Warning

# Below this the model would rather have said something else altogether.
LEAST_MASS = 0.05


@dataclass(frozen=True)
class ModelCall:
    """What an answer wants of the model: how likely ``candidates`` are, or text without them.

    ``on_text`` receives the text as it is generated.
    """

    prompt: Prompt
    limits: Limits
    candidates: tuple[Candidate, ...] = ()
    on_text: TextSink | None = None


T = TypeVar("T")
# A part of an answer that may call the model and comes to a T.
Steps: TypeAlias = Generator[ModelCall, Generation | Scored, T]


class Halted(Exception):  # noqa: N818 - control flow, not a failure
    """A cancel or a deadline came before the answer was scored."""


@dataclass(eq=False)
class Query:
    """A question on its way to the model, with what the model has said so far.

    Attributes:
        question: with its format.
        prompt: of the question.
        numbers: of the marks that the scene has.
        limits: of the answer, working included.
        answerer: the model.
        config: how sure a verdict must be.
        on_text: receives raw text as it streams, the working included.
        absent: numbers that the question takes for marks and the scene does not have; the model is
            then not asked.
        begun: what stands before a scored answer: the model's working.
        generation: the record of the first call of the model.
        warnings: what did not go as planned.
    """

    question: Question
    prompt: Prompt
    numbers: Sequence[int]
    limits: Limits
    answerer: Answerer
    config: AnswersConfig
    on_text: TextSink | None = None
    absent: tuple[int, ...] = ()
    begun: str = ""
    generation: Generation | None = None
    warnings: list[Warning] = field(default_factory=list)
    _started: float = field(default_factory=time.perf_counter)
    _score_s: float = 0.0

    def generate(self, json_schema: str = "") -> Steps[Generation]:
        """The model's own words, kept to ``json_schema`` where one is given."""
        prompt = self.prompt
        if json_schema:
            prompt = dataclasses.replace(prompt, json_schema=json_schema)
        made = yield ModelCall(prompt, self.limits, on_text=self.on_text)
        assert isinstance(made, Generation)
        return made

    def write_working(self) -> Steps[str]:
        """Let the model write what it writes before a scored answer; its whole text.

        A model without a scratchpad writes nothing.

        Raises:
            Halted: it was stopped.
        """
        if not self.answerer.card.scratchpad:
            return ""
        self.generation = yield from self.generate()
        if self.generation.stop_reason in ("cancelled", "deadline"):
            raise Halted
        self.begun, whole = working_of(self.generation.text)
        if not whole:
            text = "the scratchpad was cut off; the answer was scored after what is there"
            self.warnings.append(Warning("working_cut_off", text))
        return self.generation.text

    def score(self, options: Sequence[Option], after: str = "") -> Steps[Decision]:
        """Which of ``options`` the answer goes on with, ``after`` the working and that text.

        Raises:
            Halted: the model was stopped.
        """
        started = time.perf_counter()
        prefix = self.prompt.answer_prefix + self.begun + after
        prompt = dataclasses.replace(self.prompt, answer_prefix=prefix)
        scored = yield ModelCall(prompt, self._limits_left(), candidates_of(options))
        assert isinstance(scored, Scored)
        self._score_s += time.perf_counter() - started
        self.generation = self.generation or scored.generation
        if not scored.continuations:
            reason = scored.generation.stop_reason
            self.generation = dataclasses.replace(self.generation, stop_reason=reason)
            raise Halted
        form = self.question.format
        calibration = self.answerer.card.calibration.get(form)
        return decide(options, scored.continuations, calibration, branching=form == "choice")

    def warn_if_improbable(self, mass: float) -> None:
        """Say so where a trained model gave all options together hardly any probability."""
        if self.answerer.card.trained and mass < LEAST_MASS:
            text = (
                f"the allowed answers have {100 * mass:.2g} % of the model's probability: "
                "it would rather have said something else"
            )
            self.warnings.append(Warning("answer_improbable", text))

    def record(self) -> Generation:
        """The record of a scored answer."""
        assert self.generation is not None
        timings = {**self.generation.timings_s, "score": self._score_s}
        timings["total"] = time.perf_counter() - self._started
        return dataclasses.replace(self.generation, timings_s=timings)

    def _limits_left(self) -> Limits:
        if self.limits.deadline_s is None:
            return self.limits
        left = self.limits.deadline_s - (time.perf_counter() - self._started)
        return dataclasses.replace(self.limits, deadline_s=max(0.0, left))


def run_together(answerer: Answerer, answers: Sequence[Steps[ParsedAnswer]]) -> list[ParsedAnswer]:
    """Bring ``answers`` to their ends; what they want of the model is asked for together.

    Candidates are scored before anything is generated: that is one pass, and short answers come
    soon.

    Args:
        answerer: a ``Scorer`` if any answer scores; else than a ``ManyAnswerer`` it is asked one
            prompt after the other.
        answers: on one scene, none of them begun.

    Raises:
        EngineError: the model failed.
    """
    found: dict[int, ParsedAnswer] = {}
    calls: dict[int, ModelCall] = {}
    # None begins a generator.
    made: Mapping[int, Generation | Scored | None] = dict.fromkeys(range(len(answers)))
    while made:
        for index, own in made.items():
            calls.pop(index, None)
            try:
                calls[index] = answers[index].send(own)  # type: ignore[arg-type]
            except StopIteration as end:
                found[index] = end.value
        scored = {index: call for index, call in calls.items() if call.candidates}
        made = _score(answerer, scored) if scored else _generate(answerer, calls)
    return [found[index] for index in range(len(answers))]


def _score(answerer: Answerer, calls: Mapping[int, ModelCall]) -> dict[int, Scored]:
    assert isinstance(answerer, Scorer)
    each = list(calls.values())
    scored = answerer.score(
        [call.prompt for call in each],
        [call.candidates for call in each],
        each[0].limits if len(each) == 1 else [call.limits for call in each],
    )
    return dict(zip(calls, scored, strict=True))


def _generate(answerer: Answerer, calls: Mapping[int, ModelCall]) -> dict[int, Generation]:
    each = list(calls.values())
    if len(each) < 2 or not isinstance(answerer, ManyAnswerer):
        return {
            index: answerer.generate(call.prompt, call.limits, call.on_text)
            for index, call in calls.items()
        }
    made = answerer.generate_many(
        [call.prompt for call in each],
        [call.limits for call in each],
        [call.on_text for call in each],
    )
    return dict(zip(calls, made, strict=True))
