"""Processes that make scenes and lessons while another one computes."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from typing import Any

from oryx_scene.errors import TrainingError


@contextmanager
def open_workers(
    count: int, begin: Callable[..., None] | None = None, *args: Any
) -> Iterator[ProcessPoolExecutor]:
    """A pool of processes of one thread each; what nobody waited for is dropped at the end.

    Args:
        count: at least 1.
        begin: called with ``args`` in each of them first.

    Raises:
        TrainingError: one of them died.
    """
    # Not "fork": the caller may have threads and a GPU. The server imports once, not every process.
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["oryx_scene.training.feed"])
    pool = ProcessPoolExecutor(count, context, _begin, (begin, args))
    try:
        yield pool
    except BrokenProcessPool as err:
        raise TrainingError(
            "a process that makes scenes and lessons died.",
            hint="the kernel ends processes when memory is full; use fewer --workers",
        ) from err
    finally:
        pool.shutdown(cancel_futures=True)


def _begin(begin: Callable[..., None] | None, args: tuple[Any, ...]) -> None:
    import cv2
    import torch

    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    if begin is not None:
        begin(*args)
