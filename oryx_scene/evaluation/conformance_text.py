"""The language-model half of a golden case: batched logits, and greedy text row by row."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from oryx_scene.answerer import Limits
from oryx_scene.evaluation.conformance_compare import Comparer, StageResult
from oryx_scene.model.decode import StopWatch, TokenStream, decode
from oryx_scene.model.decoder import Decoder
from oryx_scene.model.kv import Slab
from oryx_scene.model.oryx import Oryx
from oryx_scene.model.rows import Rows, prefill
from oryx_scene.model.sampling import TokenChooser

GREEDY = "greedy_ids"
PENALISED = "greedy_ids_repetition_penalty_1.05"
STOPPED = "greedy_ids_stop"
SCORES = "greedy_scores"


def batched_logits(model: Oryx, batch: Tensor, mask: Tensor) -> Tensor:
    """Logits of padded rows (B, length, vocabulary).

    Args:
        model: to run.
        batch: (B, length, hidden_size) embeddings.
        mask: (B, length) bool, True on real tokens.
    """
    # Counted from a row's first token; the original's forward counts from the padding's, which is
    # the same to a rotary model.
    positions = (mask.long().cumsum(1) - 1).clamp_min(0)
    out = model.language(inputs_embeds=batch, attention_mask=mask.long(), position_ids=positions)
    logits: Tensor = out.logits
    return logits


def generate_greedily(
    model: Oryx, row: Tensor, end: int, penalty: float, longest: int
) -> tuple[list[int], Tensor]:
    """New ids of one row (end token included), and the (ids, vocabulary) logits they came from."""
    limits = Limits(max_new_tokens=max(longest, 1))
    chooser = _Recorder(limits, penalty)
    stream = TokenStream(chooser, frozenset([end]), longest, StopWatch.start(limits))
    decoder = Decoder(model.language)
    # All but the last token as a scene, so that the way of the engine's questions is what is run.
    scene = Slab(decoder.shape, row.shape[0] - 1)
    prefill(decoder, scene, row[:-1])
    rows = Rows(decoder, scene, 1, shared=True)
    logits = decoder.logits(rows.read([row[-1:]])[0])
    decode(rows, logits, [stream])
    return stream.tokens, torch.stack(chooser.seen)


class _Recorder(TokenChooser):
    """A chooser that keeps the logits it chose from."""

    def __init__(self, limits: Limits, penalty: float) -> None:
        super().__init__(limits, penalty)
        self.seen: list[Tensor] = []

    def choose(self, logits: Tensor, best: tuple[float, int] | None = None) -> int:
        """The next token; as :class:`TokenChooser`."""
        self.seen.append(logits)
        return super().choose(logits, best)


def compare_greedy(
    comparer: Comparer,
    model: Oryx,
    rows: list[Tensor],
    tensors: dict[str, NDArray[Any]],
    ends: dict[str, int],
    pad: int,
) -> Iterator[StageResult]:
    """Greedy text without and with repetition penalty, and stopped at another id.

    Args:
        comparer: of the case.
        model: to run.
        rows: (length, hidden_size) embeddings per row, without padding.
        tensors: of the case.
        ends: stop id by tensor name.
        pad: what the original writes after the end of a row.
    """
    for name, end in ends.items():
        theirs = tensors.get(name)
        if theirs is None:
            continue
        penalty = 1.05 if name == PENALISED else 1.0
        found = [generate_greedily(model, row, end, penalty, theirs.shape[1]) for row in rows]
        ours = np.full((len(rows), theirs.shape[1]), pad, dtype=np.int64)
        for index, (ids, _) in enumerate(found):
            ours[index, : len(ids)] = ids
        result = comparer.exact(name, ours, _after_end(theirs, end, pad))
        yield result
        scores = tensors.get(SCORES) if name == GREEDY else None
        # After a wrong id the scores answer another question.
        if scores is not None and result.ok:
            mine = torch.cat([logits for _, logits in found])
            golden = np.concatenate([scores[i, : len(ids)] for i, (ids, _) in enumerate(found)])
            yield comparer.logits(SCORES, mine, golden)


def _after_end(ids: NDArray[Any], end: int, pad: int) -> NDArray[Any]:
    """Golden ids with everything after the first end token set to the padding id."""
    found = ids.copy()
    for row in found:
        ends = np.flatnonzero(row == end)
        if ends.size:
            row[ends[0] + 1 :] = pad
    return found
