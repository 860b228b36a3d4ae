"""From logits to the next token: repetition penalty over new tokens, greedy or seeded sampling."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Protocol

import torch
from torch import Tensor

from oryx_scene.errors import ConfigError, EngineError
from oryx_scene.model.api import Limits


class Constraint(Protocol):
    """What an answer may go on with, e.g. to stay valid JSON."""

    def allowed(self, produced: Sequence[int]) -> Tensor | None:
        """(vocabulary,) bool, True for tokens that may come after ``produced``; None for all.

        A stop token must be among them where the answer may end.
        """
        ...


class TokenChooser:
    """Chooses one token after the other of one answer.

    Args:
        limits: temperature, top_p, top_k, seed.
        repetition_penalty: 1.0 = none; divides positive and multiplies negative logits of tokens
            already produced (Keskar et al. 2019, arXiv 1909.05858). The prompt does not count:
            the published models are driven by embeddings and never see its ids.
        constraint: asked before every token.

    Raises:
        ConfigError: a limit that is out of range.
    """

    def __init__(
        self,
        limits: Limits,
        repetition_penalty: float = 1.0,
        constraint: Constraint | None = None,
    ) -> None:
        _check_limits(limits, repetition_penalty)
        self._limits = limits
        self._penalty = repetition_penalty
        self._constraint = constraint
        # Nothing but the largest logit counts.
        self.plain = limits.temperature == 0 and repetition_penalty == 1.0 and constraint is None
        self._produced: list[int] = []
        self._generator = torch.Generator().manual_seed(limits.seed)

    def choose(self, logits: Tensor, best: tuple[float, int] | None = None) -> int:
        """The next token for (vocabulary,) logits; it is remembered for the penalty.

        Args:
            logits: of this answer.
            best: its entry of :func:`largest`, where that is known.

        Raises:
            EngineError: logits that are not finite.
        """
        if self.plain:
            value, token = best or largest(logits[None])[0]
            _check_finite(math.isfinite(value))
            self._produced.append(token)
            return token
        scores = logits.detach().float().cpu()
        _check_finite(bool(torch.isfinite(scores).all()))
        scores = self._allowed(self._penalised(scores))
        token = int(scores.argmax()) if self._limits.temperature == 0 else self._sample(scores)
        self._produced.append(token)
        return token

    def _penalised(self, scores: Tensor) -> Tensor:
        if self._penalty == 1.0 or not self._produced:
            return scores
        seen = torch.tensor(sorted(set(self._produced)))
        old = scores[seen]
        scores = scores.clone()
        scores[seen] = torch.where(old > 0, old / self._penalty, old * self._penalty)
        return scores

    def _allowed(self, scores: Tensor) -> Tensor:
        allowed = self._constraint.allowed(self._produced) if self._constraint else None
        if allowed is None:
            return scores
        if not bool(allowed.any()):
            raise EngineError("the answer's form allows no token here.")
        return scores.masked_fill(~allowed, -math.inf)

    def _sample(self, scores: Tensor) -> int:
        scores = scores / self._limits.temperature
        ordered, tokens = scores.sort(descending=True, stable=True)
        if self._limits.top_k:
            ordered, tokens = ordered[: self._limits.top_k], tokens[: self._limits.top_k]
        probabilities = ordered.softmax(dim=-1)
        # Keep the smallest head whose mass reaches top_p; its last token is the one that does.
        before = probabilities.cumsum(0) - probabilities
        probabilities = probabilities.masked_fill(before >= self._limits.top_p, 0.0)
        index = torch.multinomial(probabilities, 1, generator=self._generator)
        return int(tokens[index])


def largest(logits: Tensor) -> list[tuple[float, int]]:
    """The largest of each row of (rows, vocabulary) logits and its place; NaN where a row has one.

    One small tensor leaves the device, however many rows there are.
    """
    values, places = logits.max(dim=-1)
    found = torch.stack((values.double(), places.double())).tolist()
    return [(value, int(place)) for value, place in zip(*found, strict=True)]


def _check_finite(finite: bool) -> None:
    if not finite:
        raise EngineError(
            "the model's logits are not finite.",
            hint="use bfloat16 or float32; damaged weights look like this too",
        )


def _check_limits(limits: Limits, repetition_penalty: float) -> None:
    """Refuse limits that no generation can follow; comparisons are False for NaN."""
    allowed = (
        ("max_new_tokens", limits.max_new_tokens, limits.max_new_tokens >= 1, "at least 1"),
        ("temperature", limits.temperature, 0 <= limits.temperature < math.inf, "0 or more"),
        ("top_p", limits.top_p, 0 < limits.top_p <= 1, "above 0 and at most 1"),
        ("top_k", limits.top_k, limits.top_k >= 0, "0 or more"),
        ("repetition_penalty", repetition_penalty, 0 < repetition_penalty < math.inf, "above 0"),
    )
    for name, value, fine, wanted in allowed:
        if not fine:
            raise ConfigError(f"{name} is {value}, it must be {wanted}.")
