"""Computing in bfloat16 with float32 weights behind it.

A step of the optimiser is far smaller than what bfloat16 can tell apart, so weights are kept in
float32 and computed with in a copy; gradients of every scene are added up in float32.
"""

from __future__ import annotations

import copy

import torch
from torch import nn


class ComputeCopy:
    """A module in another precision that follows its float32 original.

    Args:
        original: float32; its gradients are written by :meth:`collect`.
        dtype: of the copy; float32 computes in the original itself.
    """

    def __init__(self, original: nn.Module, dtype: torch.dtype) -> None:
        self.same = dtype is torch.float32
        self.module = original if self.same else copy.deepcopy(original).to(dtype)
        pairs = zip(original.parameters(), self.module.parameters(), strict=True)
        self._all = list(pairs)
        self._pairs = [(kept, used) for kept, used in self._all if kept.requires_grad]

    def collect(self) -> None:
        """Add the copy's gradients to the original's and forget them."""
        if self.same:
            return
        for kept, used in self._pairs:
            if used.grad is None:
                continue
            if kept.grad is None:
                kept.grad = used.grad.float()
            else:
                kept.grad.add_(used.grad)
            used.grad = None

    def follow(self, frozen: bool = False) -> None:
        """Take over the weights that are learnt, with ``frozen`` also those at rest."""
        if self.same:
            return
        with torch.no_grad():
            for kept, used in self._all if frozen else self._pairs:
                used.copy_(kept)
