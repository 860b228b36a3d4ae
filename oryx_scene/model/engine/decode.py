"""Decoding: each question chooses its next token, then all of them take one step together.

A question that ends leaves; the others go on. Knows neither pictures nor prompts.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from torch import Tensor

from oryx_scene.model.api import Limits
from oryx_scene.model.engine.sampling import TokenChooser, largest


class Stopped(Exception):  # noqa: N818 - control flow, not a failure
    """A cancel or a deadline was noticed; ``reason`` is the stop reason of the answer."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


@dataclass
class StopWatch:
    """Notices cancel and deadline of one answer on the steady clock."""

    limits: Limits
    started: float

    @classmethod
    def start(cls, limits: Limits) -> StopWatch:
        """Begin now."""
        return cls(limits, time.perf_counter())

    def reason(self) -> str:
        """ "cancelled" or "deadline" if the answer must end here, "" if not."""
        limits = self.limits
        if limits.cancelled is not None and limits.cancelled():
            return "cancelled"
        if limits.deadline_s is not None and self.elapsed() > limits.deadline_s:
            return "deadline"
        return ""

    def elapsed(self) -> float:
        """Seconds since the start."""
        return time.perf_counter() - self.started


class TokenStream:
    """The tokens of one answer as they come, until one of its stop reasons.

    Args:
        chooser: from logits to tokens.
        stop_ids: tokens that end the answer; they are kept as its last.
        room: most tokens.
        watch: cancel and deadline.
        on_token: called after each token.
    """

    def __init__(
        self,
        chooser: TokenChooser,
        stop_ids: frozenset[int],
        room: int,
        watch: StopWatch,
        on_token: Callable[[], None] = lambda: None,
    ) -> None:
        self.tokens: list[int] = []
        self.reason = ""
        self.watch = watch
        self._chooser = chooser
        self._stop_ids = stop_ids
        self._room = room
        self._on_token = on_token

    @property
    def greedy(self) -> bool:
        """Whether only the largest logit counts."""
        return self._chooser.plain

    def take(self, logits: Tensor, best: tuple[float, int] | None = None) -> None:
        """Choose the next token for (vocabulary,) logits; ``best`` as in the chooser."""
        token = self._chooser.choose(logits, best)
        self.tokens.append(token)
        if token in self._stop_ids:
            self.reason = "eos"
        elif len(self.tokens) == self._room:
            self.reason = "max_new_tokens"
        self._on_token()

    def goes_on(self) -> bool:
        """Whether another token is wanted; asks the watch."""
        self.reason = self.reason or self.watch.reason()
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


class Stepper(Protocol):
    """Sequences that take one token each at a time."""

    def keep(self, rows: Sequence[int]) -> None:
        """Go on with some of them only."""
        ...

    def step(self, tokens: Sequence[int]) -> Tensor:
        """Append one token to each; logits (rows, vocabulary) after them."""
        ...


def decode(rows: Stepper, logits: Tensor, streams: Sequence[TokenStream]) -> int:
    """Run every stream to its end; returns the steps taken.

    Args:
        rows: one per stream, read up to the answer.
        logits: (streams, vocabulary) after each row.
        streams: not begun yet; those that were stopped already take no token.
    """
    steps = 0
    live = list(streams)
    while True:
        greedy = any(stream.greedy for stream in live)
        best = largest(logits) if greedy else [None] * len(live)
        for stream, own, likeliest in zip(live, logits, best, strict=True):
            if not stream.reason:
                stream.take(own, likeliest)
        going = [index for index, stream in enumerate(live) if stream.goes_on()]
        if not going:
            return steps
        rows.keep(going)
        live = [live[index] for index in going]
        logits = rows.step([stream.tokens[-1] for stream in live])
        steps += 1
