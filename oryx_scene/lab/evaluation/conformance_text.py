"""The language-model half of a golden case, by every way in which the engine reads and grows rows.

Prefill, questions on a shared and on a copied prefix, steps of decode, and the steps with constant
shapes that CUDA captures: each is driven here with the engine's own modules, in the precision of
the model at hand. Steps are given the golden ids, so that their logits can be compared in every
precision; what the engine itself says is compared as far as its choices are clear.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from oryx_scene.lab.evaluation.conformance_compare import Comparer, StageResult
from oryx_scene.model.api import Limits
from oryx_scene.model.engine.cuda_graphs import StaticRows
from oryx_scene.model.engine.decode import Stepper, decode
from oryx_scene.model.engine.decode_batch import DecodeBatch, prefill
from oryx_scene.model.engine.decoder import Decoder
from oryx_scene.model.engine.kv import Slab
from oryx_scene.model.engine.sampling import TokenChooser
from oryx_scene.model.engine.sequence_state import TokenStream

GREEDY = "greedy_ids"
PENALISED = "greedy_ids_repetition_penalty_1.05"
STOPPED = "greedy_ids_stop"
SCORES = "greedy_scores"
PENALTY = 1.05
# Ways to grow rows from a scene; the third is named by what the device makes of it.
SHARED, COPIED = "shared rows", "copied rows"
# Last tokens of a prompt that are read as a question on the scene before them.
TAIL = 8


def prefill_logits(decoder: Decoder, row: Tensor) -> Tensor:
    """Logits (length, vocabulary) after every token of a (length, hidden_size) row."""
    hidden: list[Tensor] = []
    prefill(decoder, Slab(decoder.shape, row.shape[0]), row, hidden=hidden)
    return decoder.logits(torch.cat(hidden)).float()


def last_logits(decoder: Decoder, row: Tensor) -> Tensor:
    """Logits (vocabulary,) after a row whose last token is asked as a question on the rest."""
    scene = Slab(decoder.shape, row.shape[0] - 1)
    prefill(decoder, scene, row[:-1])
    return decoder.logits(DecodeBatch(decoder, scene, 1, shared=True).read([row[-1:]])[0])[0]


class Ways:
    """The ways in which one row can be read and grown.

    Args:
        decoder: of the engine.
        longest: most tokens of a row.
    """

    def __init__(self, decoder: Decoder, longest: int) -> None:
        self.decoder = decoder
        self._static = StaticRows(decoder, longest, rows=4)
        cuda = decoder.shape.device.type == "cuda"
        self.static_name = "captured steps" if cuda else "constant shapes"
        if cuda:
            self._static.capture()

    def grow(self, row: Tensor, ids: list[int]) -> dict[str, tuple[Tensor, Tensor]]:
        """By way: logits after the last tokens of ``row``, and before each of ``ids``.

        The row stands between two others that go other ways, so that a row that sees its
        neighbours' tokens is found.
        """
        tail = min(TAIL, row.shape[0] - 1)
        scene = Slab(self.decoder.shape, row.shape[0] - tail)
        prefill(self.decoder, scene, row[:-tail])
        question = row[-tail:]
        texts = [question[:1], question, question.flip(0)]
        found = {}
        for way in (SHARED, COPIED, self.static_name):
            rows = DecodeBatch(self.decoder, scene, 3, shared=way != COPIED)
            read = self.decoder.logits(rows.read(texts)[1])
            stepper: Stepper = rows
            if way == self.static_name:
                self._static.take(rows)
                stepper = self._static
            steps = [read[-1]]
            for token in ids[:-1]:
                # Cloned: a captured step overwrites the logits of the one before.
                steps.append(stepper.step([0, token, 1])[1].clone())
            found[way] = read.float(), torch.stack(steps).float()
        return found


class _Recorder(TokenChooser):
    """A chooser that keeps how clear each choice was: the best score minus the second."""

    def __init__(self, penalty: float) -> None:
        super().__init__(Limits(), penalty)
        # Every choice takes the way on which all scores are seen.
        self.plain = False
        self.margins: list[float] = []

    def _allowed(self, scores: Tensor) -> Tensor:
        best = scores.topk(2).values
        self.margins.append(float(best[0] - best[1]))
        return super()._allowed(scores)


def say(
    decoder: Decoder, row: Tensor, end: int, penalty: float, most: int
) -> tuple[list[int], list[float]]:
    """The engine's own greedy ids (end token included), and how clear each choice was."""
    limits = Limits(max_new_tokens=max(most, 1))
    chooser = _Recorder(penalty)
    stream = TokenStream(chooser, frozenset([end]), most, limits)
    scene = Slab(decoder.shape, row.shape[0] - 1)
    prefill(decoder, scene, row[:-1])
    rows = DecodeBatch(decoder, scene, 1, shared=True)
    decode(rows, decoder.logits(rows.read([row[-1:]])[0]), [stream])
    return stream.tokens, chooser.margins


def said_ids(golden: NDArray[np.int64], end: int) -> list[int]:
    """Golden ids of one row up to and with the end token."""
    ids = [int(token) for token in golden]
    return ids[: ids.index(end) + 1] if end in ids else ids


def compare_ids(
    comparer: Comparer,
    stage: str,
    found: list[tuple[list[int], list[float]]],
    golden: list[list[int]],
    error: float,
) -> Iterator[StageResult]:
    """Equal ids, up to a choice whose margin is below twice the error of a logit.

    Args:
        comparer: of the case.
        stage: for the result.
        found: ids and margins by row.
        golden: ids by row.
        error: most by which a logit may be off.
    """
    wrong, unclear = 0, 0
    for (ids, margins), theirs in zip(found, golden, strict=True):
        pairs = enumerate(zip(ids, theirs, strict=False))
        first = next((place for place, (own, other) in pairs if own != other), None)
        if first is None:
            wrong += len(ids) != len(theirs)
        elif first < len(margins) and margins[first] <= 2 * error:
            # After it the golden text answers another question.
            unclear += len(theirs) - first
        else:
            wrong += 1
    total = sum(map(len, golden))
    detail = f"{wrong} of {len(golden)} rows say something else" if wrong else ""
    if unclear:
        detail += f"{'; ' if detail else ''}{unclear} of {total} ids follow a choice that is a tie"
    yield comparer.within(stage, float(wrong), 0.0, detail)
