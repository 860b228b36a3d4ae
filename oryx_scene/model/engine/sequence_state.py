"""The state of one answer in the engine: ids, tokens so far, text, timings, and why it ended."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Sequence

import numpy as np
from torch import Tensor

from oryx_scene.errors import EngineError
from oryx_scene.model.api import Generation, Limits, Prompt, TextSink
from oryx_scene.model.checkpoint.tokenizer import TextTokenizer, closing_ids
from oryx_scene.model.engine.sampling import Constraint, TokenChooser
from oryx_scene.model.oryx.prompt_layout import SceneLayout
from oryx_scene.warning import Warning


class Stopped(Exception):  # noqa: N818 - control flow, not a failure
    """A cancel or a deadline was noticed; ``reason`` is the stop reason of the answer."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class TokenStream:
    """The tokens of one answer as they come, until one of its stop reasons.

    Args:
        chooser: from logits to tokens.
        stop_ids: tokens that end the answer; they are kept as its last.
        room: most tokens.
        limits: cancel and deadline, on the steady clock from now.

    Attributes:
        tokens: chosen so far.
        reason: why no other is wanted, "" as long as one is.
        greedy: only the largest logit counts.
    """

    def __init__(
        self, chooser: TokenChooser, stop_ids: frozenset[int], room: int, limits: Limits
    ) -> None:
        self.tokens: list[int] = []
        self.reason = ""
        self.greedy = chooser.plain
        self.room = room
        self._chooser = chooser
        self._stop_ids = stop_ids
        self._limits = limits
        self._started = time.perf_counter()

    def elapsed(self) -> float:
        """Seconds since the start."""
        return time.perf_counter() - self._started

    def take(self, logits: Tensor, best: tuple[float, int] | None = None) -> None:
        """Choose the next token for (vocabulary,) logits; ``best`` as in the chooser."""
        token = self._chooser.choose(logits, best)
        self.tokens.append(token)
        if token in self._stop_ids:
            self.reason = "eos"
        elif len(self.tokens) == self.room:
            self.reason = "max_new_tokens"

    def goes_on(self) -> bool:
        """Whether another token is wanted; notices cancel and deadline."""
        if not self.reason:
            limits = self._limits
            if limits.cancelled is not None and limits.cancelled():
                self.reason = "cancelled"
            elif limits.deadline_s is not None and self.elapsed() > limits.deadline_s:
                self.reason = "deadline"
        return not self.reason


def check_all(streams: Sequence[TokenStream]) -> None:
    """Between two pieces of work that streams share.

    Raises:
        Stopped: none of them goes on.
    """
    # Every one is asked, so that each notices its own end.
    going = [stream for stream in streams if stream.goes_on()]
    if not going:
        raise Stopped(streams[0].reason)


class SequenceState(TokenStream):
    """One prompt, from its ids to its :class:`Generation`.

    Args:
        tokenizer: of the model.
        layout: of the prompt's scene.
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
        layout: SceneLayout,
        prompt: Prompt,
        limits: Limits,
        stop_ids: frozenset[int],
        repetition_penalty: float,
        context: int,
        on_text: TextSink | None = None,
        constraint: Constraint | None = None,
    ) -> None:
        self.layout = layout
        self.question_ids = closing_ids(tokenizer, prompt.question, prompt.answer_prefix)
        self.prompt_tokens = layout.tokens + len(self.question_ids)
        self.timings: dict[str, float] = {}
        self.warnings: list[Warning] = []
        self.text = ""
        self._tokenizer = tokenizer
        self._on_text = on_text
        if limits.repetition_penalty is not None:
            repetition_penalty = limits.repetition_penalty
        chooser = TokenChooser(limits, repetition_penalty, constraint)
        super().__init__(chooser, stop_ids, self._room(limits.max_new_tokens, context), limits)

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

    def take(self, logits: Tensor, best: tuple[float, int] | None = None) -> None:
        """Choose the next token and pass on the text so far.

        Half a character waits for its other bytes.
        """
        super().take(logits, best)
        self.timings.setdefault("first_token", self.elapsed())
        ids = [token for token in self.tokens if token not in self._stop_ids]
        text = self._tokenizer.decode(ids).rstrip("\ufffd")
        if len(text) > len(self.text) and text.startswith(self.text):
            fresh = text[len(self.text) :]
            self.text = text
            if self._on_text is not None:
                self._on_text(fresh)

    def generation(self, counters: dict[str, int | float]) -> Generation:
        """The record of the finished answer."""
        self.timings["total"] = self.elapsed()
        seconds = self.timings.get("decode", 0.0)
        steps = len(self.tokens) - 1
        rate = steps / seconds if steps > 0 and seconds > 0 else 0.0
        # Ids as little-endian int64, ``PLACEHOLDER`` per slot.
        ids = np.asarray([*self.layout.ids, *self.question_ids], dtype="<i8")
        return Generation(
            text=self.text,
            token_ids=tuple(self.tokens),
            stop_reason=self.reason,
            prompt_tokens=self.prompt_tokens,
            visual_tokens=self.layout.visual_tokens,
            tokens_sha256=hashlib.sha256(ids.tobytes()).hexdigest(),
            timings_s=self.timings,
            counters={**counters, "tokens_per_s": rate},
            warnings=tuple(self.warnings),
        )
