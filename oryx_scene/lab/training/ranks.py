"""Who does the work of a training run: processes, what each of them computes on, and helpers."""

from __future__ import annotations

import os
from dataclasses import dataclass

import torch

from oryx_scene.errors import ConfigError
from oryx_scene.lab.training.distributed import ALONE, Group
from oryx_scene.model.engine.device import check_device
from oryx_scene.model.engine.rates import cpu_name

CPU = torch.device("cpu")


@dataclass(frozen=True)
class Ranks:
    """Who does the work.

    Attributes:
        group: processes that share every step; all of them run the recipe.
        device: that each of them computes on.
        workers: processes that render and make lessons ahead, for each of them; 0 for none.
    """

    group: Group = ALONE
    device: torch.device = CPU
    workers: int = 0

    def describe(self) -> str:
        """In words, for the log and the checkpoint."""
        cuda = self.device.type == "cuda"
        name = torch.cuda.get_device_name(self.device) if cuda else cpu_name()
        count = self.group.size
        shared = f"{count} processes" if count > 1 else "one process"
        ahead = f", {self.workers} workers each" if self.workers else ""
        return f"{self.device} ({name}), {shared}{ahead}"


ONE_CORE = Ranks()


def choose_crew(device: str = "auto", workers: int | None = None, group: Group = ALONE) -> Ranks:
    """The crew for this machine.

    Args:
        device: "auto" for CUDA where there is one, else its name.
        workers: None for all allowed CPUs but one on a GPU, for none on a CPU.
        group: the processes that share every step.

    Raises:
        ConfigError: no such device, or fewer than no workers.
    """
    place = check_device(None if device == "auto" else device)
    if workers is None:
        cores = len(os.sched_getaffinity(0))
        workers = max(1, cores // group.size - 1) if place.type == "cuda" else 0
    if workers < 0:
        raise ConfigError(f"--workers is {workers}, expected at least 0.")
    return Ranks(group, place, workers)
