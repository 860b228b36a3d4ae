"""One question on its way through the engine: ids, stream of tokens and text, record."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Sequence

import numpy as np

from oryx_scene.errors import EngineError
from oryx_scene.model.api import Generation, Limits, Prompt, VisualItem
from oryx_scene.model.checkpoint.tokenizer import TextTokenizer, split_prompt_ids
from oryx_scene.model.engine.decode import StopWatch, TokenStream
from oryx_scene.model.engine.sampling import Constraint, TokenChooser
from oryx_scene.model.oryx.prompt_layout import count_visual_tokens
from oryx_scene.warning import Warning


class Answering:
    """One prompt, from its ids to its :class:`Generation`.

    Args:
        tokenizer: of the model.
        prompt: the question and its scene.
        limits: of this answer.
        stop_ids, repetition_penalty: of the checkpoint; ``limits`` may override the penalty.
        context: most tokens of prompt and answer together.
        on_text: receives each piece of text as soon as it exists.
        constraint: what the answer may go on with.

    Raises:
        EngineError: a prompt that leaves no room for an answer.
        ConfigError: limits out of range.
    """

    def __init__(
        self,
        tokenizer: TextTokenizer,
        prompt: Prompt,
        limits: Limits,
        stop_ids: frozenset[int],
        repetition_penalty: float,
        context: int,
        on_text: Callable[[str], None] | None = None,
        constraint: Constraint | None = None,
    ) -> None:
        self.items = [part for part in prompt.scene if isinstance(part, VisualItem)]
        self.scene_ids, self.question_ids = split_prompt_ids(tokenizer, prompt)
        self.visual_tokens = count_visual_tokens(self.items)
        text_tokens = len(self.scene_ids) - len(self.items) + len(self.question_ids)
        self.prompt_tokens = text_tokens + self.visual_tokens
        self.timings: dict[str, float] = {}
        self.warnings: list[Warning] = []
        self.text = ""
        self._tokenizer = tokenizer
        self._stop_ids = stop_ids
        self._on_text = on_text
        penalty = limits.repetition_penalty
        chooser = TokenChooser(
            limits, repetition_penalty if penalty is None else penalty, constraint
        )
        self.room = self._room(limits.max_new_tokens, context)
        self.watch = StopWatch.start(limits)
        self.stream = TokenStream(chooser, stop_ids, self.room, self.watch, self._on_token)

    def _room(self, wanted: int, context: int) -> int:
        """New tokens that the limits and the model's context allow."""
        room = context - self.prompt_tokens
        if room < 1:
            raise EngineError(
                f"the prompt has {self.prompt_tokens} tokens, the model's context {context}.",
                hint="ask with fewer views or a stronger compression",
            )
        if room < wanted:
            text = f"the answer is limited to {room} tokens by the model's context of {context}"
            self.warnings.append(Warning("answer_limited_by_context", text))
        return min(room, wanted)

    def lap(self, name: str, since: float) -> float:
        """Note the seconds since ``since`` under ``name``; returns the time now."""
        now = time.perf_counter()
        self.timings[name] = now - since
        return now

    def _on_token(self) -> None:
        """Pass on the text so far; half a character waits for its other bytes."""
        self.timings.setdefault("first_token", self.watch.elapsed())
        ids = [token for token in self.stream.tokens if token not in self._stop_ids]
        text = self._tokenizer.decode(ids).rstrip("\ufffd")
        if len(text) > len(self.text) and text.startswith(self.text):
            fresh = text[len(self.text) :]
            self.text = text
            if self._on_text is not None:
                self._on_text(fresh)

    def generation(self, counters: dict[str, int | float]) -> Generation:
        """The record of the finished answer."""
        self.timings["total"] = self.watch.elapsed()
        seconds = self.timings.get("decode", 0.0)
        steps = len(self.stream.tokens) - 1
        rate = steps / seconds if steps > 0 and seconds > 0 else 0.0
        return Generation(
            text=self.text,
            token_ids=tuple(self.stream.tokens),
            stop_reason=self.stream.reason,
            prompt_tokens=self.prompt_tokens,
            visual_tokens=self.visual_tokens,
            tokens_sha256=_ids_hash([*self.scene_ids, *self.question_ids]),
            timings_s=self.timings,
            counters={**counters, "tokens_per_s": rate},
            warnings=tuple(self.warnings),
        )


def _ids_hash(ids: Sequence[int]) -> str:
    """sha256 of ids as little-endian int64, ``PLACEHOLDER`` per slot."""
    return hashlib.sha256(np.asarray(ids, dtype="<i8").tobytes()).hexdigest()
