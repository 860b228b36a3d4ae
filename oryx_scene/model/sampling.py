"""From logits to the next token: repetition penalty over new tokens, greedy or seeded sampling."""

from __future__ import annotations

import torch
from torch import Tensor

from oryx_scene.answerer import Limits


class TokenChooser:
    """Chooses one token after the other of one answer.

    Args:
        limits: temperature, top_p, top_k, seed.
        repetition_penalty: 1.0 = none; divides positive and multiplies negative logits of tokens
            already produced (Keskar et al. 2019, arXiv 1909.05858). The prompt does not count:
            the published models are driven by embeddings and never see its ids.
    """

    def __init__(self, limits: Limits, repetition_penalty: float = 1.0) -> None:
        self._limits = limits
        self._penalty = repetition_penalty
        self._produced: list[int] = []
        self._generator = torch.Generator().manual_seed(limits.seed)

    def choose(self, logits: Tensor) -> int:
        """The next token for (vocabulary,) logits; it is remembered for the penalty."""
        scores = logits.detach().float().cpu()
        scores = self._penalised(scores)
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
