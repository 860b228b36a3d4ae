"""Decoding: each answer chooses its next token, then all of them take one step together.

An answer that ends leaves; the others go on. Steps are captured ones where they were captured and
fit, plain ones everywhere else. Knows neither pictures nor prompts.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import Protocol

from torch import Tensor

from oryx_scene.errors import EngineError
from oryx_scene.model.engine.config import EngineConfig, WorkCounters
from oryx_scene.model.engine.cuda_graphs import StaticRows
from oryx_scene.model.engine.decode_batch import DecodeBatch
from oryx_scene.model.engine.decoder import Decoder
from oryx_scene.model.engine.sampling import largest
from oryx_scene.model.engine.sequence_state import SequenceState, TokenStream


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


class DecodeLoop:
    """How the answers of one engine grow.

    Attributes:
        static: captured steps, None where there are none.
        note: why there are none although there could be, for the answers' warnings.
    """

    def __init__(self) -> None:
        self.static: StaticRows | None = None
        self.note = ""

    def capture(
        self,
        decoder: Decoder,
        config: EngineConfig,
        alone: Callable[[], AbstractContextManager[None]],
    ) -> None:
        """Capture decode steps and try them against the plain way; without them, say why."""
        self.static, self.note = None, ""
        try:
            with alone():
                static = StaticRows(decoder, config.graph_tokens, config.rows)
                static.capture()
                static.check()
        except EngineError as err:
            self.note = f"decode runs without captured graphs, slower: {err.message}"
        else:
            self.static = static

    def forget(self) -> None:
        """Drop the scene that captured steps hold."""
        if self.static is not None:
            self.static.forget()

    def give_up(self) -> None:
        """Free the memory of captured steps, for good."""
        if self.static is not None:
            self.static = None
            self.note = "decode runs without captured graphs, slower: their memory was needed"

    def run(
        self,
        rows: DecodeBatch,
        logits: Tensor,
        answers: Sequence[SequenceState],
        work: WorkCounters,
    ) -> None:
        """Decode ``answers`` to their end.

        Args:
            rows: one per answer, read up to where it begins.
            logits: (answers, vocabulary) after each.
            answers: in the order of the rows.
            work: counts the steps.
        """
        static = self.static
        if static is None or not static.fits(rows, max(answer.room for answer in answers)):
            work.decode_steps += decode(rows, logits, answers)
            return
        static.take(rows)
        try:
            steps = decode(static, logits, answers)
        except EngineError:
            # Numbers that are not finite would stay in the block and enter later products.
            static.forget()
            raise
        work.decode_steps += steps
        work.graph_steps += steps
