"""What rounding and quantising change in a language model's predictions of a text.

Perplexity, agreement of the likeliest token, and the Kullback-Leibler divergence from float32, over
windows of one text, by the engine's own prefill. No pictures, no answers: a number per precision
for any checkpoint and any text.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from oryx_scene.lab.evaluation.conformance_text import prefill_logits
from oryx_scene.model.engine.engine import Engine


@dataclass(frozen=True)
class Prediction:
    """How one precision predicts a text.

    Attributes:
        perplexity: exponential of the mean negative log-likelihood of the text's tokens.
        agreement: share of places where the likeliest token is that of float32.
        divergence: mean of KL(float32 || this) in nats per token.
    """

    perplexity: float
    agreement: float
    divergence: float


def windows_of(ids: Sequence[int], length: int) -> list[list[int]]:
    """``ids`` in runs of ``length``; a last one of one token predicts nothing and is left out."""
    found = [list(ids[start : start + length]) for start in range(0, len(ids), length)]
    return [window for window in found if len(window) > 1]


@torch.inference_mode()
def log_probabilities(engine: Engine, windows: Sequence[Sequence[int]]) -> list[Tensor]:
    """(window - 1, vocabulary) float32 per window, on the CPU: of each token after the first."""
    found = []
    for window in windows:
        embedded = engine.decoder.embed(torch.tensor(list(window)))
        logits = prefill_logits(engine.decoder, embedded)[:-1]
        found.append(logits.float().log_softmax(dim=-1).cpu())
    return found


def compare(
    own: Sequence[Tensor], float32: Sequence[Tensor], windows: Sequence[Sequence[int]]
) -> Prediction:
    """One precision's log-probabilities against those of float32."""
    lost, agreed, divergence, count = 0.0, 0, 0.0, 0
    for mine, true, window in zip(own, float32, windows, strict=True):
        following = torch.tensor(list(window[1:]))
        lost -= float(mine.gather(1, following[:, None]).sum())
        agreed += int((mine.argmax(-1) == true.argmax(-1)).sum())
        divergence += float((true.exp() * (true - mine)).sum())
        count += len(following)
    return Prediction(math.exp(lost / count), agreed / count, divergence / count)
