"""Processes that make scenes and lessons while another one computes."""

from __future__ import annotations

import multiprocessing
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor

from oryx_scene.errors import TrainingError
from oryx_scene.lab.process_guard import end_with_parent
from oryx_scene.lab.training.batch import with_leaves

# Things per worker that are made ahead at most.
AHEAD = 4

Given = TypeVar("Given")
Task = TypeVar("Task")
Made = TypeVar("Made")


def in_order(
    workers: int, make: Callable[[Given, Task], Made], tasks: Iterable[Task], given: Given
) -> Generator[Made, None, None]:
    """``make(given, task)`` of every task, in the order of the tasks.

    Args:
        workers: processes that make them ahead; 0 makes them here, when they are wanted.
        make: a function of a module; its tensors may be in records, lists and tuples.
        tasks: small things.
        given: may be large; every process gets it once.

    Raises:
        TrainingError: a worker died.
    """
    if not workers:
        for task in tasks:
            yield make(given, task)
        return
    with open_workers(workers, given) as pool:
        coming: deque[Future[Any]] = deque()
        for task in tasks:
            coming.append(pool.submit(_make, make, task))
            if len(coming) > AHEAD * workers:
                yield _tensors(coming.popleft().result())
        while coming:
            yield _tensors(coming.popleft().result())


def _tensors(made: Any) -> Any:
    return with_leaves(made, np.ndarray, torch.from_numpy)


@contextmanager
def open_workers(count: int, given: Any = None) -> Iterator[ProcessPoolExecutor]:
    """A pool of processes of one thread each; what nobody waited for is dropped at the end.

    Args:
        count: at least 1.
        given: for `in_order`.

    Raises:
        TrainingError: one of them died.
    """
    # Not "fork": the caller may have threads and a GPU. The server imports once, not every process.
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["oryx_scene.lab.training.loader"])
    pool = ProcessPoolExecutor(count, context, _begin, (given,))
    try:
        yield pool
    except BrokenProcessPool as err:
        raise TrainingError(
            "a process that makes scenes and lessons died.",
            hint="the kernel ends processes when memory is full; use fewer --workers",
        ) from err
    finally:
        pool.shutdown(cancel_futures=True)


# -- in the workers --------------------------------------------------------------------------------

_given: list[Any] = []


def _begin(given: Any) -> None:
    import cv2

    end_with_parent()
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    _given[:] = [given]


def _make(make: Callable[[Any, Any], Any], task: Any) -> Any:
    """With arrays in place of tensors, which would go through shared memory, a file each."""
    return with_leaves(make(_given[0], task), Tensor, Tensor.numpy)
