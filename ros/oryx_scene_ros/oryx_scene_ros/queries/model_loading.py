"""From the model's parameters to a loaded answerer, made and warmed up on the engine thread.

Kernels, caches and captured graphs belong to the thread that made them, so the model is loaded
where it will be asked. No rclpy here.
"""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable
from typing import Any, Protocol

import cv2

from oryx_scene.errors import OryxSceneError
from oryx_scene.model.api import Answerer
from oryx_scene_ros.error_codes import Code, NodeError, stopped
from oryx_scene_ros.parameters.settings import NodeSettings
from oryx_scene_ros.queries.worker import Job, Worker


class LoadAnswerer(Protocol):
    """How a model is loaded (``model.load.load_answerer``, or a fake in tests)."""

    def __call__(
        self, model: str, *, device: str | None, dtype: str | None, quantization: str | None
    ) -> Answerer:
        """The loaded model."""
        ...


def load_default(
    model: str, *, device: str | None, dtype: str | None, quantization: str | None
) -> Answerer:
    """The library's own loader; torch is imported here and not before."""
    from oryx_scene.model.checkpoint.load import load_answerer

    return load_answerer(model, device=device, dtype=dtype, quantization=quantization)


def use_threads(count: int) -> int:
    """Keep what computes on the CPU to so many threads each: OpenCV, and torch where it is loaded.

    torch counts per calling thread: to be called on the one that will ask the model.

    Args:
        count: 0 takes half of the cores that this process may use, at least one: a robot computes
            other things beside, and threads that wait for each other on taken cores lose more
            than they win.

    Returns:
        the number of threads.
    """
    usable = len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1
    count = count or max(1, usable // 2)
    cv2.setNumThreads(count)
    torch = sys.modules.get("torch")
    if torch is not None:
        torch.set_num_threads(count)
    return count


def load_on(
    worker: Worker,
    load: LoadAnswerer,
    settings: NodeSettings,
    attend: Callable[[threading.Event], None],
) -> Answerer:
    """Load on the engine thread and wait for it.

    Args:
        worker: whose thread will own the model.
        load: makes it.
        settings: name, device, precision, warm-up, and whether its speed is to be measured.
        attend: waits until the event is set, or the node is being ended.

    Raises:
        OryxSceneError: it cannot be loaded, or the node is being ended meanwhile.
    """
    done = threading.Event()
    outcome: list[Any] = []

    def ended(result: Any) -> None:
        outcome.append(result[0] if result[1] is None else None)
        done.set()

    work = Job("load", lambda job: _loaded(load, settings), ended, counted=False)
    worker.submit(work, always=True)
    attend(done)
    if not done.is_set():
        failure = stopped(Code.SHUTTING_DOWN)
        raise NodeError(Code.SHUTTING_DOWN, failure.message, hint=failure.hint)
    found = outcome.pop()
    if isinstance(found, OryxSceneError):
        try:
            raise found
        finally:
            # An error that its own frame names would wait for the cyclic collector.
            del found
    if found is None:
        raise NodeError(Code.MODEL_NOT_LOADED, "loading failed; the log has the details.")
    answerer: Answerer = found
    return answerer


def _loaded(load: LoadAnswerer, settings: NodeSettings) -> Answerer | OryxSceneError:
    """On the engine thread."""
    from oryx_scene_ros.queries.warmup import know_rates, warm_up

    try:
        if load is load_default:
            import torch  # noqa: F401 - the threads are set before the weights are read
        use_threads(settings.count("model.threads"))
        answerer = load(
            settings.text("model.name"),
            device=settings.text("model.device") or None,
            dtype=settings.text("model.dtype") or None,
            quantization=settings.text("model.quantization"),
        )
        bound_caches = getattr(answerer, "bound_caches", None)
        if bound_caches is not None:
            bound_caches(
                settings.count("model.feature_cache_mib") * 2**20,
                settings.count("model.scene_cache_mib") * 2**20,
            )
        if settings.others["model.warmup"]:
            warm_up(answerer)
        know_rates(answerer, settings)
    except OryxSceneError as err:
        return err
    return answerer
