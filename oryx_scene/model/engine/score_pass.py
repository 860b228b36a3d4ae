"""Packed passes that say nothing themselves: rows read, logits taken, given answers scored."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence

import torch
from torch import Tensor

from oryx_scene.model.api import Continuation, Scored
from oryx_scene.model.engine.decode import Stopped
from oryx_scene.model.engine.scene_reader import SceneReader
from oryx_scene.model.engine.scoring import ScorePlan, read_scores
from oryx_scene.model.engine.sequence_state import Answering


def read_places(
    reader: SceneReader, answers: Sequence[Answering], places: Sequence[Sequence[int]]
) -> list[Tensor]:
    """Logits after chosen ids of each question: (places, vocabulary) float32 per answer.

    Args:
        reader: of the engine.
        answers: on one scene.
        places: per answer indices into its ids from the question on, negative from the end.
    """
    found: list[Tensor] = []
    size = reader.config.rows
    for start in range(0, len(answers), size):
        _, hidden = reader.read_questions(answers[start : start + size])
        picked = [
            own[list(own_places)] for own, own_places in zip(hidden, places[start:], strict=False)
        ]
        logits = reader.decoder.logits(torch.cat(picked)).float()
        found += logits.split([own.shape[0] for own in picked])
    return found


def read_rows(
    reader: SceneReader, answers: Sequence[Answering], starts: Sequence[int]
) -> list[Tensor]:
    """Logits of each row from the last id before its start on; fewer rows where all were stopped.

    Args:
        reader: of the engine.
        answers: one per row, on one scene.
        starts: per row the first id in which its candidates may differ.
    """
    found: list[Tensor] = []
    size = reader.config.rows
    with contextlib.suppress(Stopped):
        for first in range(0, len(answers), size):
            group = answers[first : first + size]
            _, hidden = reader.read_questions(group)
            ends = [own[start - 1 :] for own, start in zip(hidden, starts[first:], strict=False)]
            # The head is read once for all of them.
            logits = reader.decoder.logits(torch.cat(ends))
            found += logits.split([own.shape[0] for own in ends])
            for answer in group:
                answer.stream.reason = answer.stream.reason or "eos"
    return found


def scored_prompts(
    plans: Sequence[ScorePlan],
    answers: Sequence[Answering],
    logits: Sequence[Tensor],
    stop_ids: frozenset[int],
    counters: dict[str, int | float],
) -> list[Scored]:
    """What :func:`read_rows` says of each prompt; nothing of one that was stopped."""
    scored, first = [], 0
    for plan in plans:
        rows = answers[first : first + len(plan.rows)]
        own: tuple[Continuation, ...] = ()
        if all(row.stream.reason == "eos" for row in rows):
            own = read_scores(plan, logits[first : first + len(rows)], stop_ids)
        stopped = [row for row in rows if row.stream.reason != "eos"]
        scored.append(Scored(own, (stopped or rows)[0].generation(counters)))
        first += len(rows)
    return scored
