"""One thread that loads the engine, warms it up and does all its work.

Kernels, caches and captured graphs belong to the thread that made them, and the engine refuses a
second one. Callers in any thread hand their prompts over and wait; they are served in turn. Nothing
else of the library starts threads for the model.
"""

from __future__ import annotations

import dataclasses
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

from oryx_scene.errors import EngineError
from oryx_scene.model.api import (
    Candidate,
    Generation,
    Limits,
    ModelCard,
    Prompt,
    Scored,
    TextSink,
)
from oryx_scene.model.engine.engine import Engine

T = TypeVar("T")


class EngineThread:
    """An :class:`oryx_scene.model.api.Answerer` that any thread may ask.

    Args:
        load: makes the engine, e.g. ``lambda: load_answerer("default")``; runs in the new thread.

    Raises:
        OryxSceneError: whatever loading raises.
    """

    def __init__(self, load: Callable[[], Engine]) -> None:
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="oryx-engine")
        self._thread: int | None = None
        try:
            self._engine = self._pool.submit(self._start, load).result()
        except BaseException:
            self._pool.shutdown(wait=False)
            raise

    def _start(self, load: Callable[[], Engine]) -> Engine:
        self._thread = threading.get_ident()
        engine = load()
        engine.warm_up()
        return engine

    @property
    def card(self) -> ModelCard:
        """Name, precision and limits of the model."""
        return self._engine.card

    def count_text_tokens(self, text: str) -> int:
        """Tokens that ``text`` takes in a prompt."""
        return self._engine.count_text_tokens(text)

    def counters(self) -> dict[str, int | float]:
        """What was computed and what was kept."""
        return self._engine.counters()

    def submit(self, work: Callable[[Engine], T]) -> Future[T]:
        """Run ``work`` in the engine's thread, after what was handed over before.

        Raises:
            EngineError: called from that very thread, which would wait for itself.
        """
        if threading.get_ident() == self._thread:
            raise EngineError(
                "the engine's thread was asked to wait for itself.",
                hint="ask from another thread than the one that receives the text",
            )
        return self._pool.submit(work, self._engine)

    def generate(
        self, prompt: Prompt, limits: Limits, on_text: TextSink | None = None
    ) -> Generation:
        """Answer ``prompt``; ``on_text`` is called in the engine's thread.

        A deadline counts from this call, waiting for earlier prompts included.
        """
        asked = time.perf_counter()
        return self.submit(
            lambda engine: engine.generate(prompt, _left(limits, asked), on_text)
        ).result()

    def generate_many(
        self,
        prompts: Sequence[Prompt],
        limits: Limits | Sequence[Limits],
        on_text: Sequence[TextSink | None] | None = None,
    ) -> list[Generation]:
        """Answer prompts on one scene together; as :meth:`Engine.generate_many`."""
        asked = time.perf_counter()
        each = [limits] * len(prompts) if isinstance(limits, Limits) else list(limits)
        return self.submit(
            lambda engine: engine.generate_many(
                prompts, [_left(own, asked) for own in each], on_text
            )
        ).result()

    def score(
        self,
        prompts: Sequence[Prompt],
        candidates: Sequence[Sequence[Candidate]],
        limits: Limits | Sequence[Limits],
    ) -> list[Scored]:
        """How likely given answers are; as :meth:`Engine.score`."""
        asked = time.perf_counter()
        each = [limits] * len(prompts) if isinstance(limits, Limits) else list(limits)
        return self.submit(
            lambda engine: engine.score(prompts, candidates, [_left(own, asked) for own in each])
        ).result()

    def close(self) -> None:
        """Wait for what was handed over and end the thread."""
        self._pool.shutdown(wait=True)

    def __enter__(self) -> EngineThread:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _left(limits: Limits, asked: float) -> Limits:
    """``limits`` with what is left of the deadline."""
    if limits.deadline_s is None:
        return limits
    waited = time.perf_counter() - asked
    return dataclasses.replace(limits, deadline_s=max(0.0, limits.deadline_s - waited))
