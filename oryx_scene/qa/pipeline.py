"""ScenePipeline: frames and a question go in, a SceneAnswer comes out.

Live node, bag replay, evaluation and tests run this same class; they differ only in where frames
come from and where answers go. The clock of the source ("now") is an argument; latencies are taken
from the steady clock.
"""

from __future__ import annotations

import dataclasses
import functools
import time
from collections.abc import Callable, Sequence
from itertools import repeat

from oryx_scene.config import PipelineConfig
from oryx_scene.errors import BudgetError, DeviceMemoryError
from oryx_scene.model.api import Answerer, Limits, ModelCard, Prompt, SceneKeeper, Stride, TextSink
from oryx_scene.qa.answer_record import answer_record, prompt_hash
from oryx_scene.qa.facts import fitting_facts
from oryx_scene.qa.formats import SYSTEM_TEXT, answer_query, check_question, question_text
from oryx_scene.qa.parse import named_numbers
from oryx_scene.qa.query import Query, run_together
from oryx_scene.qa.question_words import without_counted_views
from oryx_scene.records import Frame, Question, SceneAnswer
from oryx_scene.scene.freeze import MarkFinder, Scene, find_marks_fresh, freeze_scene
from oryx_scene.scene.view_selection import CoverageReport
from oryx_scene.warning import Warning

__all__ = ["ScenePipeline", "prompt_hash", "with_scratchpad"]


class ScenePipeline:
    """Freezes scenes and asks questions about them.

    Args:
        answerer: a loaded model.
        config: settings.
        find_marks: how marks are found; the default knows nothing of earlier scenes.
    """

    def __init__(
        self,
        answerer: Answerer,
        config: PipelineConfig | None = None,
        find_marks: MarkFinder = find_marks_fresh,
    ) -> None:
        self.answerer = answerer
        self.config = config or PipelineConfig()
        self._find_marks = find_marks

    def freeze(
        self,
        frames: Sequence[Frame],
        now_ns: int,
        *,
        question: str = "",
        warnings: Sequence[Warning] = (),
        synthetic: bool = False,
        choice: CoverageReport | None = None,
        after: Scene | None = None,
    ) -> Scene:
        """Choose views, find and draw marks, plan the budget; no model call.

        Args:
            frames: candidates in any order, newest included.
            now_ns: the source's clock; ages count back from it.
            question: objects that it names get their marks first.
            warnings: what the source had to say about these frames.
            synthetic: the frames come from a synthetic world.
            choice: how ``frames`` were chosen, where that was done before.
            after: an earlier scene; views of it that are chosen again keep their order and stand
                first, so that an engine can go on from what it computed for them.

        Raises:
            NoFramesError: no frame.
            BudgetError: the views fit no compression.
        """
        return freeze_scene(
            frames,
            now_ns,
            self.config,
            self.answerer.card,
            find_marks=self._find_marks,
            question=question,
            warnings=warnings,
            synthetic=synthetic,
            choice=choice,
            after=after,
        )

    def forget_scenes(self) -> None:
        """Let the model keep nothing of earlier scenes, where it can.

        What is asked next is then answered with the same bits whatever was asked before.
        """
        if isinstance(self.answerer, SceneKeeper):
            self.answerer.forget_scenes()

    def prompt_for(self, scene: Scene, question: Question) -> Prompt:
        """The prompt of ``question`` about ``scene``."""
        order = self.answerer.card.learnt.fact_order
        facts = fitting_facts(question.text, scene.measured, self.config.marks.facts, order)
        return Prompt(SYSTEM_TEXT, scene.prompt, question_text(question, facts))

    def ask(
        self,
        scene: Scene,
        question: Question,
        limits: Limits | None = None,
        on_text: TextSink | None = None,
    ) -> SceneAnswer:
        """Answer ``question`` about ``scene``; ``on_text`` receives the raw text as it streams.

        Raises:
            QuestionError: the question cannot be asked.
            BudgetError: question and views together exceed the model's context.
            EngineError: the model failed; pipeline and scene can be used again.
        """
        return self._ask(scene, [question], [limits or Limits()], [on_text])[0]

    def ask_many(
        self,
        scene: Scene,
        questions: Sequence[Question],
        limits: Limits | Sequence[Limits] | None = None,
        on_text: Callable[[int, str], None] | None = None,
    ) -> list[SceneAnswer]:
        """Answer questions about one scene together, whatever their formats.

        Verdicts, choices and marks are scored in shared passes, texts and JSON are read and decoded
        together.

        Args:
            scene: frozen.
            questions: any number. An answerer that is no ``ManyAnswerer`` writes one by one.
            limits: of all, or one per question.
            on_text: receives the index of a question and a piece of its raw text.

        Raises:
            QuestionError, BudgetError: before any question is answered.
            EngineError: the model failed; pipeline and scene can be used again.
        """
        count = range(len(questions))
        shared = limits or Limits()
        each = [shared] * len(questions) if isinstance(shared, Limits) else list(shared)
        sinks = [None if on_text is None else functools.partial(on_text, i) for i in count]
        return self._ask(scene, questions, each, sinks)

    def _ask(
        self,
        scene: Scene,
        questions: Sequence[Question],
        limits: Sequence[Limits],
        sinks: Sequence[TextSink | None],
    ) -> list[SceneAnswer]:
        started = time.perf_counter()
        try:
            queries = list(map(self._query, repeat(scene), questions, limits, sinks))
            found = run_together(self.answerer, list(map(answer_query, queries)))
        except DeviceMemoryError as err:
            scene = self._with_less_memory(scene, err)
            queries = list(map(self._query, repeat(scene), questions, limits, sinks))
            found = run_together(self.answerer, list(map(answer_query, queries)))
        answers = list(map(answer_record, repeat(scene), queries, found))
        for answer in answers:
            answer.timings_s["ask"] = time.perf_counter() - started
        return answers

    def _query(
        self, scene: Scene, question: Question, limits: Limits, on_text: TextSink | None
    ) -> Query:
        """``question`` as it goes to the model.

        Raises:
            QuestionError, BudgetError: it cannot be asked.
        """
        prompt = self.prompt_for(scene, check_question(question))
        limits = with_scratchpad(limits, self.answerer.card)
        self._check_length(scene, prompt, limits.max_new_tokens)
        return Query(
            question,
            prompt,
            scene.numbers,
            limits,
            self.answerer,
            self.config.answers,
            on_text,
            self._absent(scene, question),
        )

    def _absent(self, scene: Scene, question: Question) -> tuple[int, ...]:
        """Numbers of marks that the question asks about in vain; none where none are drawn."""
        if not self.config.marks.enabled:
            return ()
        asked = named_numbers(without_counted_views(question.text))
        return tuple(number for number in asked if number not in scene.numbers)

    def _check_length(self, scene: Scene, prompt: Prompt, new: int) -> None:
        text = self.answerer.count_text_tokens(prompt.question)
        visual, context = scene.plan.visual_tokens, self.answerer.card.context_length
        if visual + text + new > context:
            raise BudgetError(
                f"{visual} visual tokens, {text} tokens of question and "
                f"{new} of answer exceed the model's context of {context}.",
                hint="shorten the question, or ask with fewer views or fewer new tokens",
            )

    def _with_less_memory(self, scene: Scene, err: DeviceMemoryError) -> Scene:
        """The same views and marks at the next stronger compression.

        Raises:
            DeviceMemoryError: ``err``, where there is none.
        """
        stronger = [stride for stride in Stride if stride > scene.plan.stride]
        if not stronger:
            raise err
        compression = str(stronger[0].compression)
        budget = dataclasses.replace(self.config.budget, compression=compression)
        note = Warning(
            "compression_raised",
            f"{err.message} The question was asked again at {compression}x "
            f"instead of {scene.plan.stride.compression}x",
        )
        weaker = freeze_scene(
            scene.views.frames,
            scene.frozen_ns,
            dataclasses.replace(self.config, budget=budget),
            self.answerer.card,
            find_marks=lambda *_: scene.marks,
            warnings=(*scene.warnings, note),
            synthetic=scene.synthetic,
            after=scene,
        )
        return dataclasses.replace(weaker, choice=scene.choice)


def with_scratchpad(limits: Limits, card: ModelCard) -> Limits:
    """``limits`` with room for the working that ``card``'s model writes before its answer."""
    return dataclasses.replace(
        limits, max_new_tokens=limits.max_new_tokens + card.scratchpad_tokens
    )
