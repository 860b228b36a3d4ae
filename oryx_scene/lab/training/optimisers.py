"""What turns gradients into steps: AdamW, and Muon for the matrices of layers.

Muon (K. Jordan et al., 2024; scaled to AdamW's steps as in arXiv 2502.16982) replaces the momentum
of a matrix by the nearest orthogonal one, so that rare directions are learnt as fast as common
ones. How the tower learnt with it: docs/developing/measurements.md.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn

from oryx_scene.errors import TrainingError

DECAY = 0.02
LAYERS = (".blocks.", ".layers.")


class Optimisers:
    """All optimisers of one stage as one.

    Args:
        learner: whose parameters that require gradients are learnt.
        rate: first learning rate.

    Raises:
        TrainingError: this torch has no Muon.
    """

    def __init__(self, learner: nn.Module, rate: float) -> None:
        learnt = [(n, p) for n, p in learner.named_parameters() if p.requires_grad]
        matrices = [p for n, p in learnt if _of_layer(n, p)]
        taken = set(map(id, matrices))
        rest = [p for _, p in learnt if id(p) not in taken]
        groups: list[dict[str, Any]] = [
            {"params": [p for p in rest if p.dim() >= 2], "weight_decay": DECAY},
            {"params": [p for p in rest if p.dim() < 2], "weight_decay": 0.0},
        ]
        self._adam = torch.optim.AdamW(groups, lr=rate, betas=(0.9, 0.98), foreach=True)
        self._muon = _new_muon(matrices, rate) if matrices else None

    def __iter__(self) -> Iterator[torch.optim.Optimizer]:
        yield self._adam
        if self._muon is not None:
            yield self._muon

    def step(self, rate: float) -> None:
        """One step at a learning rate; gradients are forgotten."""
        for one in self:
            for group in one.param_groups:
                group["lr"] = rate
            one.step()
            one.zero_grad(set_to_none=True)

    def state(self) -> dict[str, Any]:
        """What going on needs, by name."""
        kept = {"optimiser": self._adam.state_dict()}
        return kept if self._muon is None else {**kept, "muon": self._muon.state_dict()}

    def take(self, state: dict[str, Any]) -> None:
        """Go on from what :meth:`state` gave."""
        self._adam.load_state_dict(state["optimiser"])
        if self._muon is not None:
            self._muon.load_state_dict(state["muon"])


def _of_layer(name: str, parameter: Tensor) -> bool:
    return parameter.dim() == 2 and any(part in f".{name}" for part in LAYERS)


def _new_muon(matrices: list[nn.Parameter], rate: float) -> torch.optim.Optimizer:
    if not hasattr(torch.optim, "Muon"):
        raise TrainingError(
            f"training uses Muon, which torch {torch.__version__} does not have.",
            hint="pip install 'torch>=2.9'",
        )
    made: torch.optim.Optimizer = torch.optim.Muon(
        matrices, lr=rate, weight_decay=DECAY, adjust_lr_fn="match_rms_adamw"
    )
    return made
