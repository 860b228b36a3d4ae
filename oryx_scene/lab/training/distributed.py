"""Several processes that share every step of one training run.

Each makes its share of the step's lessons and drill rows; gradients are added up over all of them,
so that every process takes the step that one alone would take (up to rounding). Talks over the
loopback interface only.
"""

from __future__ import annotations

import os
import signal
import socket
import tempfile
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from oryx_scene.errors import ConfigError, TrainingError
from oryx_scene.lab.process_guard import end_with_parent
from oryx_scene.lab.training.drills import Drill

# Longer than the others wait while the first process trains the teacher, inspects or saves. A
# process that dies ends the run at once without it.
PATIENCE = timedelta(hours=6)


@dataclass(frozen=True)
class Group:
    """One process among those that train together; alone, everything here does nothing.

    Attributes:
        rank: of this process, 0..size-1.
        size: processes in all.
    """

    rank: int = 0
    size: int = 1

    @property
    def first(self) -> bool:
        """Whether this is the process that writes and speaks."""
        return self.rank == 0

    def share(self, count: int) -> range:
        """What this process does of 0..count-1."""
        return range(self.rank, count, self.size)

    def add_up(self, parameters: Sequence[nn.Parameter]) -> None:
        """Replace gradients by their sums; one that no process has stays None."""
        if self.size == 1:
            return
        # One buffer: what is sent costs little, every sending costs something. On the CPU: gloo.
        learnt = [p for p in parameters if p.requires_grad]
        flat = torch.zeros(sum(p.numel() for p in learnt) + len(learnt))
        *pieces, there = flat.split([*(p.numel() for p in learnt), len(learnt)])
        for index, (parameter, piece) in enumerate(zip(learnt, pieces, strict=True)):
            if parameter.grad is not None:
                piece.copy_(parameter.grad.flatten())
                there[index] = 1.0
        torch.distributed.all_reduce(flat)
        for parameter, piece, seen in zip(learnt, pieces, there.tolist(), strict=True):
            parameter.grad = piece.view_as(parameter).to(parameter.device) if seen else None

    def gather(self, logged: dict[str, list[float]]) -> dict[str, list[float]]:
        """What all processes logged."""
        if self.size == 1:
            return logged
        everyone: list[Any] = [None] * self.size
        torch.distributed.all_gather_object(everyone, dict(logged))
        names = dict.fromkeys(name for one in everyone for name in one)
        return {name: [v for one in everyone for v in one.get(name, [])] for name in names}

    def agree(self, word: bool) -> bool:
        """The first process's word."""
        if self.size == 1:
            return word
        said = torch.tensor([word])
        torch.distributed.broadcast(said, 0)
        return bool(said)

    def take_over(self, weights: Iterable[Tensor]) -> None:
        """Take the first process's weights."""
        if self.size == 1:
            return
        kept = list(weights)
        flat = torch.cat([weight.flatten() for weight in kept]).cpu()
        torch.distributed.broadcast(flat, 0)
        for weight, new in zip(kept, flat.split([w.numel() for w in kept]), strict=True):
            weight.copy_(new.view_as(weight))

    def wait(self) -> None:
        """Until all processes are here."""
        if self.size > 1:
            torch.distributed.barrier()


ALONE = Group()


def share_of_drill(drill: Drill, group: Group) -> tuple[Drill, float]:
    """The rows of this process, and which part of all wanted words is theirs."""
    length = drill.ids.shape[1]
    row = drill.where // length
    own = row % group.size == group.rank
    where = row[own] // group.size * length + drill.where[own] % length
    part = Drill(drill.ids[group.rank :: group.size], where, drill.wanted[own])
    return part, len(where) / len(drill.where)


def together(processes: int, work: Callable[..., None], *args: Any) -> None:
    """Call ``work(group, *args)`` in each of several new processes of one thread.

    Where as many CPUs are allowed as there are processes, each keeps to one of them.

    Args:
        processes: at least 2.
        work: a function of a module, which new processes can import; so can its ``args``.

    Raises:
        ConfigError: this torch cannot do it.
        TrainingError: one of them failed or died; the others were ended.
    """
    from torch.multiprocessing.spawn import ProcessException, spawn

    if not torch.distributed.is_available():
        raise ConfigError(
            "several processes need torch.distributed, which this torch was built without.",
            hint="use --processes 1",
        )
    with tempfile.TemporaryDirectory() as folder:
        given = (processes, str(Path(folder) / "meeting"), work, args)
        context = spawn(_one_of, given, processes, join=False)
        assert context is not None
        try:
            while not context.join():
                pass
        except ProcessException as err:
            raise _failure(context.processes, err) from err


def _one_of(
    rank: int, size: int, meeting: str, work: Callable[..., None], args: tuple[Any, ...]
) -> None:
    end_with_parent()
    torch.set_num_threads(1)
    allowed = sorted(os.sched_getaffinity(0))
    if len(allowed) == size:
        os.sched_setaffinity(0, {allowed[rank]})
    loopback = [name for _, name in socket.if_nameindex() if name.startswith("lo")]
    if not loopback:
        raise ConfigError("several processes need a loopback interface, there is none.")
    os.environ["GLOO_SOCKET_IFNAME"] = loopback[0]
    torch.distributed.init_process_group(
        "gloo", init_method=f"file://{meeting}", rank=rank, world_size=size, timeout=PATIENCE
    )
    work(Group(rank, size), *args)
    torch.distributed.destroy_process_group()


def _failure(processes: Sequence[Any], err: Any) -> TrainingError:
    """Whoever was killed comes first: the others then fail because it is gone."""
    for index, one in enumerate(processes):
        code = one.exitcode or 0
        if code < 0 and -code != signal.SIGTERM:
            name = signal.Signals(-code).name
            return TrainingError(
                f"process {index} of {len(processes)} was killed ({name}).",
                hint="the kernel does so when memory is full; the same command goes on",
            )
    last = str(err).strip().splitlines()[-1]
    return TrainingError(f"process {err.error_index} of {len(processes)} failed: {last}")
