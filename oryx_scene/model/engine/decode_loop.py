"""Decode by captured steps where they were captured and fit, by plain ones everywhere else."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager

from torch import Tensor

from oryx_scene.errors import EngineError
from oryx_scene.model.engine.config import EngineConfig, Work
from oryx_scene.model.engine.cuda_graphs import StaticRows
from oryx_scene.model.engine.decode import decode
from oryx_scene.model.engine.decode_batch import DecodeBatch
from oryx_scene.model.engine.decoder import Decoder
from oryx_scene.model.engine.sequence_state import Answering


class Stepping:
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
        self, rows: DecodeBatch, logits: Tensor, answers: Sequence[Answering], work: Work
    ) -> None:
        """Decode ``answers`` to their end.

        Args:
            rows: one per answer, read up to where it begins.
            logits: (answers, vocabulary) after each.
            answers: in the order of the rows.
            work: counts the steps.
        """
        streams = [answer.stream for answer in answers]
        static = self.static
        if static is None or not static.fits(rows, max(answer.room for answer in answers)):
            work.decode_steps += decode(rows, logits, streams)
            return
        static.take(rows)
        try:
            steps = decode(static, logits, streams)
        except EngineError:
            # Numbers that are not finite would stay in the block and enter later products.
            static.forget()
            raise
        work.decode_steps += steps
        work.graph_steps += steps
