"""Times of several ways to do one thing, taken in turn so that a busy machine hurts all alike.

One call of each side goes ahead and is reported apart (`first_s`: it compiles, allocates and fills
caches); the median and the 10th and 90th percentile are over the rounds that follow.
"""

from __future__ import annotations

import contextlib
import statistics
import time
from collections.abc import Callable, Iterator, Mapping
from contextvars import ContextVar
from dataclasses import dataclass

import torch

_CLOCK: ContextVar[Callable[[], float]] = ContextVar("clock", default=time.perf_counter)


@contextlib.contextmanager
def cpu_time() -> Iterator[None]:
    """Count seconds that this thread computed, not those that passed: for a busy machine."""
    token = _CLOCK.set(time.thread_time)
    try:
        yield
    finally:
        _CLOCK.reset(token)


@dataclass(frozen=True)
class Times:
    """Seconds of one side.

    Attributes:
        first_s: of the first call, warm-up included.
        seconds: of every later call.
    """

    first_s: float
    seconds: tuple[float, ...]

    @property
    def median(self) -> float:
        """Middle value, seconds."""
        return statistics.median(self.seconds)

    def quantile(self, share: float) -> float:
        """The value below which ``share`` (0..1) of the calls lie, by linear interpolation."""
        ordered = sorted(self.seconds)
        place = share * (len(ordered) - 1)
        low = int(place)
        high = min(low + 1, len(ordered) - 1)
        return ordered[low] + (place - low) * (ordered[high] - ordered[low])


def synchronise(device: torch.device) -> None:
    """Wait until the device has done what it was given."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def timed(run: Callable[[], object], device: torch.device) -> float:
    """Seconds of one call, the device's work included; see :func:`cpu_time`."""
    synchronise(device)
    clock = _CLOCK.get()
    started = clock()
    run()
    synchronise(device)
    return clock() - started


def measure(
    sides: Mapping[str, Callable[[], object]], rounds: int, device: torch.device
) -> dict[str, Times]:
    """Call every side once for warm-up, then all of them in turn, ``rounds`` times."""
    first = {name: timed(run, device) for name, run in sides.items()}
    seconds: dict[str, list[float]] = {name: [] for name in sides}
    for _ in range(rounds):
        for name, run in sides.items():
            seconds[name].append(timed(run, device))
    return {name: Times(first[name], tuple(values)) for name, values in seconds.items()}
