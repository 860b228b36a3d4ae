"""Which rows must be read to score given answers, and the numbers read off their logits.

Candidates of one prompt share most of their ids; each row is read once and serves every candidate
that is its beginning. Integers and logits only; the engine runs the rows.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from oryx_scene.errors import EngineError
from oryx_scene.model.api import Candidate, Continuation, Prompt
from oryx_scene.model.checkpoint.tokenizer import TextTokenizer, split_prompt_ids


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
    bare = tuple(split_prompt_ids(tokenizer, prompt)[1])
    ids = tuple(
        tuple(
            split_prompt_ids(
                tokenizer,
                dataclasses.replace(prompt, answer_prefix=prompt.answer_prefix + one.text),
            )[1]
        )
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
