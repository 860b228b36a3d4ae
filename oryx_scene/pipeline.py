"""ScenePipeline: frames and a question go in, a SceneAnswer comes out.

Live node, bag replay, evaluation and tests run this same class; they differ only in where frames
come from and where answers go. The clock of the source ("now") is an argument; latencies are taken
from the steady clock.
"""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import time
from collections.abc import Callable, Sequence

from oryx_scene import __version__
from oryx_scene.answerer import (
    Answerer,
    Generation,
    Limits,
    ManyAnswerer,
    ModelCard,
    Prompt,
    Stride,
)
from oryx_scene.capture.choose import CoverageReport
from oryx_scene.caution import caution_for
from oryx_scene.config import PipelineConfig
from oryx_scene.errors import BudgetError, DeviceMemoryError
from oryx_scene.forms import answer_in_form
from oryx_scene.frames import Frame, MarkSet, Question, Relation, SceneAnswer
from oryx_scene.marks.crosscheck import cross_check
from oryx_scene.marks.relations import Viewpoint, measure_relations
from oryx_scene.prompt.facts import fitting_facts, viewpoint_of
from oryx_scene.prompt.parse import ParsedAnswer, parse_answer
from oryx_scene.prompt.wording import SYSTEM_TEXT, check_question, question_text, view_names
from oryx_scene.scene import MarkFinder, Scene, find_marks_fresh, freeze_scene


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
        warnings: Sequence[str] = (),
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

    def prompt_for(self, scene: Scene, question: Question) -> Prompt:
        """The prompt of ``question`` about ``scene``."""
        facts = fitting_facts(question.text, scene.views, scene.marks, self.config.marks.facts)
        return Prompt(SYSTEM_TEXT, scene.prompt, question_text(question, facts))

    def ask(
        self,
        scene: Scene,
        question: Question,
        limits: Limits | None = None,
        on_text: Callable[[str], None] | None = None,
    ) -> SceneAnswer:
        """Answer ``question`` about ``scene``; ``on_text`` receives the raw text as it streams.

        Raises:
            QuestionError: the question cannot be asked.
            BudgetError: question and views together exceed the model's context.
            EngineError: the model failed; pipeline and scene can be used again.
        """
        started = time.perf_counter()
        limits = limits or Limits()
        try:
            return self._ask(scene, question, limits, on_text, started)
        except DeviceMemoryError as err:
            weaker = self._with_less_memory(scene, err)
            return self._ask(weaker, question, limits, on_text, started)

    def _ask(
        self,
        scene: Scene,
        question: Question,
        limits: Limits,
        on_text: Callable[[str], None] | None,
        started: float,
    ) -> SceneAnswer:
        prompt = self._checked_prompt(scene, question, limits)
        room = with_scratchpad(limits, self.answerer.card)
        found = answer_in_form(
            self.answerer, prompt, question, scene.numbers, room, self.config.answers, on_text
        )
        return self._answer(scene, question, prompt, limits, found, started)

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
        note = (
            f"{err.message} The question was asked again at {compression}x "
            f"instead of {scene.plan.stride.compression}x"
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

    def ask_many(
        self,
        scene: Scene,
        questions: Sequence[Question],
        limits: Limits | Sequence[Limits] | None = None,
        on_text: Callable[[int, str], None] | None = None,
    ) -> list[SceneAnswer]:
        """Answer questions about one scene: those for text together, the others in turn.

        Args:
            scene: frozen.
            questions: any number. An answerer that is no ``ManyAnswerer`` gets all in turn.
            limits: of all, or one per question.
            on_text: receives the index of a question and a piece of its raw text.

        Raises:
            QuestionError, BudgetError: before any question is answered.
            EngineError: the model failed; pipeline and scene can be used again.
        """
        started = time.perf_counter()
        shared = limits or Limits()
        each = [shared] * len(questions) if isinstance(shared, Limits) else list(shared)
        try:
            return self._ask_many(scene, questions, each, on_text, started)
        except DeviceMemoryError as err:
            weaker = self._with_less_memory(scene, err)
            return self._ask_many(weaker, questions, each, on_text, started)

    def _ask_many(
        self,
        scene: Scene,
        questions: Sequence[Question],
        each: Sequence[Limits],
        on_text: Callable[[int, str], None] | None,
        started: float,
    ) -> list[SceneAnswer]:
        asked = list(zip(questions, each, strict=True))
        prompts = [self._checked_prompt(scene, question, own) for question, own in asked]
        found = self._together(scene, asked, prompts, on_text)
        for index, (question, own) in enumerate(asked):
            if index not in found:
                found[index] = answer_in_form(
                    self.answerer,
                    prompts[index],
                    question,
                    scene.numbers,
                    with_scratchpad(own, self.answerer.card),
                    self.config.answers,
                    None if on_text is None else functools.partial(on_text, index),
                )
        return [
            self._answer(scene, question, prompts[index], own, found[index], started)
            for index, (question, own) in enumerate(asked)
        ]

    def _together(
        self,
        scene: Scene,
        asked: Sequence[tuple[Question, Limits]],
        prompts: Sequence[Prompt],
        on_text: Callable[[int, str], None] | None,
    ) -> dict[int, tuple[Generation, ParsedAnswer]]:
        """What can be generated in one go, by index."""
        chosen = [index for index, (question, _) in enumerate(asked) if question.format == "text"]
        if not isinstance(self.answerer, ManyAnswerer) or len(chosen) < 2:
            return {}
        generations = self.answerer.generate_many(
            [prompts[index] for index in chosen],
            [with_scratchpad(asked[index][1], self.answerer.card) for index in chosen],
            None if on_text is None else lambda place, text: on_text(chosen[place], text),
        )
        return {
            index: (made, parse_answer(made.text, asked[index][0], scene.numbers))
            for index, made in zip(chosen, generations, strict=True)
        }

    def _checked_prompt(self, scene: Scene, question: Question, limits: Limits) -> Prompt:
        prompt = self.prompt_for(scene, check_question(question))
        self._check_length(scene, prompt, limits)
        return prompt

    def _answer(
        self,
        scene: Scene,
        question: Question,
        prompt: Prompt,
        limits: Limits,
        found: tuple[Generation, ParsedAnswer],
        started: float,
    ) -> SceneAnswer:
        answer = self._assemble(scene, question, prompt, limits, *found)
        answer.timings_s.update(scene.timings_s)
        answer.timings_s["ask"] = time.perf_counter() - started
        return answer

    def _check_length(self, scene: Scene, prompt: Prompt, limits: Limits) -> None:
        text = self.answerer.count_text_tokens(prompt.question)
        new = with_scratchpad(limits, self.answerer.card).max_new_tokens
        needed = scene.plan.visual_tokens + text + new
        context = self.answerer.card.context_length
        if needed > context:
            raise BudgetError(
                f"{scene.plan.visual_tokens} visual tokens, {text} tokens of question and "
                f"{new} of answer exceed the model's context of {context}.",
                hint="shorten the question, or ask with fewer views or fewer new tokens",
            )

    def _assemble(
        self,
        scene: Scene,
        question: Question,
        prompt: Prompt,
        limits: Limits,
        generation: Generation,
        parsed: ParsedAnswer,
    ) -> SceneAnswer:
        caution = caution_for(self.answerer.card, synthetic=scene.synthetic)
        named = tuple(mark for mark in scene.marks.marks if mark.number in parsed.marks)
        measured = relations_for(scene, question.text)
        stated, disagreements = cross_check(
            parsed.text, measured, question=question.text, marks=len(scene.marks.marks)
        )
        return SceneAnswer(
            question=question,
            text=parsed.text,
            scratchpad=parsed.scratchpad,
            marks=named,
            scene=scene.marks.marks,
            relations=(*measured, *stated),
            verdict=parsed.verdict,
            choice=parsed.choice,
            confidence=parsed.confidence,
            scores=dict(parsed.scores),
            json=parsed.json,
            evidence=scene.evidence(),
            frame_id=scene.frame_id,
            compression=scene.plan.stride.compression,
            visual_tokens=generation.visual_tokens,
            prompt_tokens=generation.prompt_tokens,
            generated_tokens=len(generation.token_ids),
            stop_reason=generation.stop_reason,
            token_ids=generation.token_ids,
            timings_s=dict(generation.timings_s),
            counters=dict(generation.counters),
            provenance=self._provenance(scene, question, prompt, limits, generation),
            budget=scene.plan.as_dict(),
            choice_of_views=dict(scene.choice),
            left_out=dict(scene.marks.left_out),
            warnings=(
                *([caution.sentence] if caution else ()),
                *scene.warnings,
                *generation.warnings,
                *parsed.warnings,
                *disagreements,
            ),
        )

    def _provenance(
        self,
        scene: Scene,
        question: Question,
        prompt: Prompt,
        limits: Limits,
        generation: Generation,
    ) -> dict[str, str]:
        card = self.answerer.card
        calibration = card.calibration.get(question.format)
        caution = caution_for(card, synthetic=scene.synthetic)
        return {
            "scene_id": scene.scene_id,
            "model": card.name,
            "revision": card.revision,
            "trained": "yes" if card.trained else "no, random weights",
            "caution": caution.label if caution else "",
            "dtype": card.dtype,
            "device": card.device,
            "quantization": card.quantization,
            "attention": card.attention,
            "linear": card.linear,
            "prompt_sha256": prompt_hash(prompt),
            "tokens_sha256": generation.tokens_sha256,
            "confidence": "uncalibrated"
            if calibration is None
            else f"calibrated on {calibration.samples} answers: {calibration.source}",
            "decoding": "greedy" if limits.temperature == 0 else f"sampled, seed {limits.seed}",
            "software_version": __version__,
        }


def with_scratchpad(limits: Limits, card: ModelCard) -> Limits:
    """``limits`` with room for the working that ``card``'s model writes before its answer."""
    return dataclasses.replace(
        limits, max_new_tokens=limits.max_new_tokens + card.scratchpad_tokens
    )


def relations_for(scene: Scene, question: str) -> tuple[Relation, ...]:
    """The scene's measured relations, directions and ranges from the view that ``question`` names.

    Without a named view, or without its pose, they are those of the newest view.
    """
    index = viewpoint_of(question, scene.views)
    frame = scene.views.frames[index]
    if frame.T_fixed_camera is None:
        return scene.marks.relations
    name = view_names([item.camera for item in scene.views.frames])[index]
    viewpoint = Viewpoint(name, frame.T_fixed_camera)
    return measure_relations(scene.marks.marks, scene.views.frames, viewpoint)


def prompt_hash(prompt: Prompt) -> str:
    """sha256 over all texts of a prompt and the content keys of its pictures."""
    digest = hashlib.sha256()
    for part in (prompt.system, *prompt.scene, prompt.question, prompt.answer_prefix):
        piece = part if isinstance(part, str) else "|".join(part.keys)
        encoded = piece.encode("utf-8")
        digest.update(len(encoded).to_bytes(8, "little"))
        digest.update(encoded)
    return digest.hexdigest()


__all__ = ["MarkSet", "ScenePipeline", "prompt_hash"]
