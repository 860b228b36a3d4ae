"""The engine: prompts in, streamed text out; encode, prefill and decode as named stages.

Pictures that were encoded before and scenes that were prefilled before are not computed again, and
questions on one scene are read and answered together. Everything on the device happens in the
thread that calls; one thread at a time. The engine deals in prompts and text, the modules beside it
in tensors. What it holds between questions is `state`, how it is asked is here.
"""

from __future__ import annotations

import contextlib
import dataclasses
import time
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from oryx_scene.model.api import (
    Candidate,
    Generation,
    Limits,
    Prompt,
    Scored,
    Stride,
    TextSink,
    VisualItem,
)
from oryx_scene.model.engine.config import EngineConfig, Stops, WorkCounters
from oryx_scene.model.engine.sampling import Constraint
from oryx_scene.model.engine.scoring import (
    plan_scores,
    read_places,
    read_rows,
    scored_prompts,
)
from oryx_scene.model.engine.sequence_state import SequenceState, Stopped
from oryx_scene.model.engine.state import EngineState
from oryx_scene.warning import Warning

__all__ = ["Engine", "EngineConfig", "Stops", "WorkCounters"]


class Engine(EngineState):
    """An :class:`oryx_scene.model.api.Answerer` on one device.

    Args:
        model: loaded weights.
        tokenizer: of the same checkpoint.
        card: what answers say about the model.
        stops: stop ids and penalty of the checkpoint.
        config: memory limits.
    """

    def warm_up(self) -> float:
        """Run every stage once in this thread, with one row and with all; returns the seconds.

        The first call of a kernel loads, tunes or compiles it. On CUDA the steps of decode are
        captured here, once for all. Nothing else of it is kept or counted.
        """
        started = time.perf_counter()
        stride = Stride.VIDEO if self.model.compressor_trained else Stride.IMAGE
        low = None if stride is Stride.VIDEO else (96, 128)
        picture = VisualItem((np.zeros((96, 128, 3), np.uint8),), stride, low)
        prompt = Prompt("", (picture, "\n"), "?")
        for rows in {1, self.config.rows}:
            self.generate_many([prompt] * rows, Limits(max_new_tokens=3))
        if self.model.device.type == "cuda" and self.config.graph_tokens:
            self._capture()
        self._reader.work = WorkCounters()
        return time.perf_counter() - started

    def _capture(self) -> None:
        self._loop.capture(self.decoder, self.config, self._alone)

    # -- questions ------------------------------------------------------------------------------

    def generate(
        self,
        prompt: Prompt,
        limits: Limits,
        on_text: TextSink | None = None,
        *,
        constraint: Constraint | None = None,
    ) -> Generation:
        """Answer ``prompt``; ``on_text`` receives each piece of text as soon as it exists.

        Args:
            prompt: scene and question.
            limits: of the answer.
            on_text: called in this thread.
            constraint: what the answer may go on with.

        Raises:
            EngineError: the model failed, or another thread is answering; the engine lives on.
        """
        with self._alone():
            answer = self._begin(prompt, limits, on_text, constraint)
            self._answer([answer])
        return answer.generation(self.counters())

    def generate_many(
        self,
        prompts: Sequence[Prompt],
        limits: Limits | Sequence[Limits],
        on_text: Sequence[TextSink | None] | None = None,
        *,
        constraints: Sequence[Constraint | None] | None = None,
    ) -> list[Generation]:
        """Answer questions on the same scene, ``EngineConfig.rows`` of them at a time.

        Args:
            prompts: with equal system text and scene.
            limits: of all, or one per prompt; each is cancelled and timed on its own.
            on_text: one per prompt, called in this thread with each piece of its text.
            constraints: one per prompt.

        Raises:
            EngineError: as for :meth:`generate`, and prompts of different scenes.
        """
        each = _per_prompt(limits, prompts)
        none = [None] * len(prompts)
        with self._alone():
            answers = [
                self._begin(*one)
                for one in zip(prompts, each, on_text or none, constraints or none, strict=True)
            ]
            for start in range(0, len(answers), self.config.rows):
                self._answer(answers[start : start + self.config.rows])
        return [answer.generation(self.counters()) for answer in answers]

    def question_logits(
        self, prompts: Sequence[Prompt], positions: Sequence[Sequence[int]] | None = None
    ) -> list[Tensor]:
        """What the model would say next, without saying it: one packed pass over all questions.

        Args:
            prompts: questions on one scene; ``answer_prefix`` may hold the begin of an answer.
            positions: per prompt the indices into its ids from the question on
                (``split_prompt_ids``, negative from the end); None takes the last only.

        Returns:
            (positions, vocabulary) float32 per prompt: logits after each position.

        Raises:
            EngineError: as for :meth:`generate_many`.
        """
        with self._alone():
            answers = [self._begin(prompt, Limits(max_new_tokens=1)) for prompt in prompts]
            return read_places(self._reader, answers, positions or [(-1,)] * len(prompts))

    def score(
        self,
        prompts: Sequence[Prompt],
        candidates: Sequence[Sequence[Candidate]],
        limits: Limits | Sequence[Limits],
    ) -> list[Scored]:
        """How likely given answers are; see :class:`oryx_scene.model.api.Scorer`.

        Rows of all prompts are read in packed passes, ``EngineConfig.rows`` of them at a time.
        """
        each = _per_prompt(limits, prompts)
        plans = [
            plan_scores(self._tokenizer, prompt, own)
            for prompt, own in zip(prompts, candidates, strict=True)
        ]
        with self._alone():
            answers: list[SequenceState] = []
            for prompt, plan, own in zip(prompts, plans, each, strict=True):
                for row in plan.rows:
                    answers.append(self._begin(prompt, dataclasses.replace(own, max_new_tokens=1)))
                    answers[-1].question_ids = list(row)
            starts = [plan.start for plan in plans for _ in plan.rows]
            logits = read_rows(self._reader, answers, starts)
        return scored_prompts(plans, answers, logits, self._stops.ids, self.counters())

    def forget_scene(self, prompt: Prompt) -> None:
        """Give back the keys and values of ``prompt``'s scene; encoded pictures stay.

        Raises:
            EngineError: another thread is answering.
        """
        with self._alone():
            self.scenes.drop(self._reader.layout(prompt))

    def forget_scenes(self) -> None:
        """Give back the keys and values of every scene; encoded pictures stay.

        A scene takes over the first tokens that it shares with a kept one, so that fewer rows are
        computed together, and its last bits hang on what was asked before.

        Raises:
            EngineError: another thread is answering.
        """
        with self._alone():
            self.scenes.clear()

    # -- stages ---------------------------------------------------------------------------------

    def _begin(
        self,
        prompt: Prompt,
        limits: Limits,
        on_text: TextSink | None = None,
        constraint: Constraint | None = None,
    ) -> SequenceState:
        if constraint is None and prompt.json_schema:
            constraint = self.constraint_for(prompt.json_schema)
        answer = SequenceState(
            self._tokenizer,
            self._reader.layout(prompt),
            prompt,
            limits,
            self._stops.ids,
            self._stops.repetition_penalty,
            self._card.context_length,
            on_text,
            constraint,
        )
        answer.warnings.extend(self._card.warnings)
        if self._tokenizer.doubt:
            answer.warnings.append(Warning("tokenizer_doubtful", self._tokenizer.doubt))
        if self._loop.note:
            answer.warnings.append(Warning("graphs_unavailable", self._loop.note))
        return answer

    def _answer(self, answers: Sequence[SequenceState]) -> None:
        """Run answers on one scene to their end."""
        with contextlib.suppress(Stopped):
            rows, hidden = self._reader.read_questions(answers)
            logits = self.decoder.logits(torch.cat([own[-1:] for own in hidden]))
            self._reader.synchronise()
            started = time.perf_counter()
            for answer in answers:
                answer.timings["prefill"] = answer.elapsed() - answer.timings["encode"]
            try:
                self._loop.run(rows, logits, answers, self.work)
            finally:
                for answer in answers:
                    answer.lap("decode", started)
                self.work.decoded_tokens += sum(len(a.tokens) for a in answers)


def _per_prompt(limits: Limits | Sequence[Limits], prompts: Sequence[Prompt]) -> list[Limits]:
    return [limits] * len(prompts) if isinstance(limits, Limits) else list(limits)
