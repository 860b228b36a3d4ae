"""Putting visual tokens where the placeholders are, and padding rows of unequal length."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import torch
from torch import Tensor

from oryx_scene.errors import EngineError

PLACEHOLDER = -200


def splice(
    ids: Sequence[int], slots: Sequence[Tensor], embed: Callable[[Tensor], Tensor]
) -> Tensor:
    """Embeddings of one row.

    Args:
        ids: token ids, ``PLACEHOLDER`` where a slot goes.
        slots: (tokens, hidden_size) per placeholder, in order.
        embed: token ids (n,) to embeddings (n, hidden_size).

    Returns:
        (length, hidden_size).

    Raises:
        EngineError: placeholders and slots differ in number.
    """
    wanted = sum(1 for token in ids if token == PLACEHOLDER)
    if wanted != len(slots):
        raise EngineError(f"the prompt has {wanted} image slots, {len(slots)} were given.")
    remaining = iter(slots)
    return embed_parts([next(remaining) if token == PLACEHOLDER else token for token in ids], embed)


def embed_parts(parts: Iterable[int | Tensor], embed: Callable[[Tensor], Tensor]) -> Tensor:
    """Embeddings of one row: (length, hidden_size).

    Args:
        parts: token ids, and (tokens, hidden_size) embeddings that go where they stand.
        embed: token ids (n,) to embeddings (n, hidden_size).
    """
    rows: list[Tensor] = []
    ids: list[int] = []
    for part in parts:
        if isinstance(part, int):
            ids.append(part)
            continue
        if ids:
            rows.append(embed(torch.tensor(ids)))
            ids = []
        rows.append(part)
    if ids:
        rows.append(embed(torch.tensor(ids)))
    return torch.cat(rows)


def pad_rows(rows: Sequence[Tensor], side: str) -> tuple[Tensor, Tensor]:
    """Batch rows of unequal length with zeros.

    Args:
        rows: (length, hidden_size) each.
        side: "left" or "right".

    Returns:
        (B, longest, hidden_size) and a bool mask (B, longest), True on real tokens.
    """
    longest = max(row.shape[0] for row in rows)
    batch = rows[0].new_zeros(len(rows), longest, rows[0].shape[1])
    mask = torch.zeros(len(rows), longest, dtype=torch.bool, device=rows[0].device)
    for index, row in enumerate(rows):
        length = row.shape[0]
        span = slice(longest - length, longest) if side == "left" else slice(0, length)
        batch[index, span] = row
        mask[index, span] = True
    return batch, mask
