"""One question as it goes to the model: what is asked, in which form, and how far it may go."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass

from oryx_scene.config import AnswersConfig
from oryx_scene.model.api import Generation, Limits, Prompt, TextSink
from oryx_scene.qa.batching import Say, Wishing
from oryx_scene.qa.parse import ParsedAnswer, parse_answer
from oryx_scene.records import Question


@dataclass(frozen=True)
class QueryContext:
    """A question on its way to the model.

    Attributes:
        prompt: of the question.
        question: with its form.
        numbers: of the marks that the scene has.
        limits: of the answer, working included.
        config: how sure a verdict must be.
        absent: numbers that the question takes for marks and the scene does not have; the model is
            then not asked.
        on_text: receives raw text as it streams, the working included.
    """

    prompt: Prompt
    question: Question
    numbers: Sequence[int]
    limits: Limits
    config: AnswersConfig
    on_text: TextSink | None = None
    absent: tuple[int, ...] = ()

    def after(self, text: str) -> QueryContext:
        """The same where the answer has begun with ``text``."""
        begun = self.prompt.answer_prefix + text
        return dataclasses.replace(
            self, prompt=dataclasses.replace(self.prompt, answer_prefix=begun)
        )

    def say(self) -> Wishing[Generation]:
        """The model's own words."""
        made = yield Say(self.prompt, self.limits, self.on_text)
        assert isinstance(made, Generation)
        return made

    def read(self, text: str) -> ParsedAnswer:
        """What ``text`` says in the question's form."""
        return parse_answer(text, self.question, self.numbers)
