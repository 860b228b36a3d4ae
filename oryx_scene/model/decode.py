"""Prefill and decode: embeddings in, one token after the other out.

Prefill runs in chunks of fixed length so that a cancel or a deadline is noticed between them, then
one step per token. Knows neither text nor pictures.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from oryx_scene.answerer import Limits

# Above the ridge point of current GPUs and still a short time on an onboard one.
PREFILL_CHUNK = 512


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

    def check(self) -> None:
        """Raise :class:`Stopped` if the answer must end here."""
        limits = self.limits
        if limits.cancelled is not None and limits.cancelled():
            raise Stopped("cancelled")
        if limits.deadline_s is not None and self.elapsed() > limits.deadline_s:
            raise Stopped("deadline")

    def elapsed(self) -> float:
        """Seconds since the start."""
        return time.perf_counter() - self.started


class TokenSequence:
    """One sequence in the language model: its KV cache and the logits after its last token.

    Args:
        language: a causal language model of transformers.
        cache: an existing KV cache to go on from, or None.
    """

    def __init__(self, language: Any, cache: Any | None = None) -> None:
        from transformers import DynamicCache

        self._language = language
        self.cache = DynamicCache() if cache is None else cache

    @property
    def length(self) -> int:
        """Tokens in the cache."""
        return int(self.cache.get_seq_length())

    @property
    def bytes(self) -> int:
        """Bytes of keys and values in the cache."""
        config = self._language.config
        heads = config.num_key_value_heads
        width = getattr(config, "head_dim", None) or (
            config.hidden_size // config.num_attention_heads
        )
        each = self._language.lm_head.weight.element_size()
        return int(2 * self.length * config.num_hidden_layers * heads * width * each)

    def cut(self, length: int) -> None:
        """Forget every token after the first ``length``."""
        surplus = self.length - length
        if surplus > 0:
            # A negative count removes from the end in every release of transformers.
            self.cache.crop(-surplus)

    def prefill(self, embeds: Tensor, watch: StopWatch) -> Tensor:
        """Append (n, hidden_size) embeddings; logits (vocabulary,) after the last one."""
        hidden = embeds[:0]
        for chunk in embeds.split(PREFILL_CHUNK):
            watch.check()
            hidden = self._forward(chunk)
        logits: Tensor = self._language.lm_head(hidden[-1:])[0]
        return logits

    def step(self, token: int) -> Tensor:
        """Append one token; logits (vocabulary,) after it."""
        ids = torch.tensor([token], device=self._language.lm_head.weight.device)
        embeds = self._language.get_input_embeddings()(ids)
        logits: Tensor = self._language.lm_head(self._forward(embeds)[-1:])[0]
        return logits

    def _forward(self, embeds: Tensor) -> Tensor:
        start = self.length
        positions = torch.arange(start, start + embeds.shape[0], device=embeds.device)
        out = self._language.model(
            inputs_embeds=embeds[None],
            position_ids=positions[None],
            past_key_values=self.cache,
            use_cache=True,
        )
        hidden: Tensor = out.last_hidden_state[0]
        return hidden


def tokens_until_stop(
    sequence: TokenSequence,
    logits: Tensor,
    choose: Any,
    stop_ids: frozenset[int],
    max_new_tokens: int,
    watch: StopWatch,
) -> Iterator[tuple[int, str]]:
    """Yield (token, stop reason or "") until the answer ends.

    The last pair carries the reason: "eos" or "max_new_tokens".

    Raises:
        Stopped: cancel or deadline, noticed before a step.
    """
    for count in range(1, max_new_tokens + 1):
        token = choose(logits)
        if token in stop_ids:
            yield token, "eos"
            return
        if count == max_new_tokens:
            yield token, "max_new_tokens"
            return
        yield token, ""
        watch.check()
        logits = sequence.step(token)
