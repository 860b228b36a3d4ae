"""What one measurement is told, and how it is found by name.

A measurement is a module of this package with ``run(options) -> list[Row]``; add its name to
``PARTS`` and the command knows it.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass

import torch

from oryx_scene.lab.bench.report import Row

PARTS = ("vit", "resize", "prefill", "decode", "scene", "frames")


@dataclass(frozen=True)
class BenchOptions:
    """Settings of one measurement.

    Attributes:
        size: "tiny" (a dry run), "0.5b" or "7b".
        device, dtype: where and in which precision.
        rounds: calls per side after the warm-up call.
        tokens: length of the prompt where there is one, 0 = the part's own choice.
        quantization: of the language model's weights: "none", "int8" or "int4".
    """

    size: str
    device: torch.device
    dtype: torch.dtype
    rounds: int = 7
    tokens: int = 0
    quantization: str = "none"

    @property
    def tiny(self) -> bool:
        """A dry run: everything runs, nothing it says about speed matters."""
        return self.size == "tiny"


def part(name: str) -> Callable[[BenchOptions], list[Row]]:
    """The measurement called ``name``."""
    found: Callable[[BenchOptions], list[Row]] = importlib.import_module(
        f"oryx_scene.lab.bench.{name}"
    ).run
    return found
