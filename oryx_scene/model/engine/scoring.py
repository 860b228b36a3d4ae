"""Scoring given answers: the rows that must be read, packed passes over them, and their numbers.

Candidates of one prompt share most of their ids; each row is read once and serves every candidate
that is its beginning. Nothing is generated.
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from oryx_scene.errors import EngineError
from oryx_scene.model.api import Candidate, Continuation, Prompt, Scored
from oryx_scene.model.checkpoint.tokenizer import TextTokenizer, closing_ids
from oryx_scene.model.engine.scene_reader import SceneReader
from oryx_scene.model.engine.sequence_state import SequenceState, Stopped


@dataclass(frozen=True)
class ScorePlan:
    """One prompt's candidates as ids.

    Attributes:
        candidates: as asked.
        ids: of each candidate, from the question on.
        start: first id in which candidates may differ; what comes before is the same for all.
        rows: what must be read, none the beginning of another.
    """

    candidates: tuple[Candidate, ...]
    ids: tuple[tuple[int, ...], ...]
    start: int
    rows: tuple[tuple[int, ...], ...]

    def row_of(self, index: int) -> int:
        """The row that begins with all that candidate ``index`` needs."""
        needed = _needed(self.ids[index], self.candidates[index])
        return next(place for place, row in enumerate(self.rows) if row[: len(needed)] == needed)


def _needed(ids: tuple[int, ...], candidate: Candidate) -> tuple[int, ...]:
    """Ids that must be read: the last one is predicted, not read, unless the answer ends there."""
    return ids if candidate.ends else ids[:-1]


def plan_scores(
    tokenizer: TextTokenizer, prompt: Prompt, candidates: Sequence[Candidate]
) -> ScorePlan:
    """Encode ``candidates`` as what follows the prompt's answer prefix.

    Prefix and candidate are encoded together, as the model's own answer would be read back.

    Raises:
        EngineError: no candidate, or one that says nothing.
    """
    if not candidates or any(not one.text and not one.ends for one in candidates):
        raise EngineError("there is nothing to score.", hint="give candidates that say something")
    bare = tuple(closing_ids(tokenizer, prompt.question, prompt.answer_prefix))
    ids = tuple(
        tuple(closing_ids(tokenizer, prompt.question, prompt.answer_prefix + one.text))
        for one in candidates
    )
    start = _common(bare, ids)
    wanted = sorted({_needed(own, one) for own, one in zip(ids, candidates, strict=True)})
    # Sorted: a row that is the beginning of another stands right before such a one.
    rows = tuple(
        row
        for row, after in zip(wanted, [*wanted[1:], ()], strict=True)
        if after[: len(row)] != row
    )
    return ScorePlan(tuple(candidates), ids, start, rows)


def _common(bare: tuple[int, ...], ids: Sequence[tuple[int, ...]]) -> int:
    shortest = min(len(bare), *(len(own) for own in ids))
    for place in range(shortest):
        if any(own[place] != bare[place] for own in ids):
            return place
    return shortest


def read_scores(
    plan: ScorePlan, logits: Sequence[Tensor], stop_ids: frozenset[int]
) -> tuple[Continuation, ...]:
    """Log-probabilities of every candidate.

    Args:
        plan: of the prompt.
        logits: per row (len(row) - start + 1, vocabulary), after its ids from ``start - 1`` on.
        stop_ids: any of them ends an answer.

    Raises:
        EngineError: logits that are not finite.
    """
    logprobs = [one.float().log_softmax(dim=-1) for one in logits]
    if not all(bool(torch.isfinite(one).all()) for one in logprobs):
        raise EngineError("the model's logits are not finite.", hint="use bfloat16 or float32")
    stops = sorted(stop_ids)
    found = []
    for index, (candidate, ids) in enumerate(zip(plan.candidates, plan.ids, strict=True)):
        own = logprobs[plan.row_of(index)]
        tail = ids[plan.start :]
        values = [float(own[place, token]) for place, token in enumerate(tail)]
        if candidate.ends:
            values.append(float(own[len(tail), stops].logsumexp(dim=0)) if stops else -1e9)
            # Any of the stop ids will do; the first stands for them.
            tail = (*tail, stops[0] if stops else -1)
        found.append(Continuation(candidate, tail, tuple(values)))
    return tuple(found)


def read_places(
    reader: SceneReader, answers: Sequence[SequenceState], places: Sequence[Sequence[int]]
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
    reader: SceneReader, answers: Sequence[SequenceState], starts: Sequence[int]
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
                answer.reason = answer.reason or "eos"
    return found


def scored_prompts(
    plans: Sequence[ScorePlan],
    answers: Sequence[SequenceState],
    logits: Sequence[Tensor],
    stop_ids: frozenset[int],
    counters: dict[str, int | float],
) -> list[Scored]:
    """What :func:`read_rows` says of each prompt; nothing of one that was stopped."""
    scored, first = [], 0
    for plan in plans:
        rows = answers[first : first + len(plan.rows)]
        own: tuple[Continuation, ...] = ()
        if all(row.reason == "eos" for row in rows):
            own = read_scores(plan, logits[first : first + len(rows)], stop_ids)
        stopped = [row for row in rows if row.reason != "eos"]
        scored.append(Scored(own, (stopped or rows)[0].generation(counters)))
        first += len(rows)
    return scored
