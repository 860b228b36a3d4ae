"""From the model's parameters to a loaded answerer, made and warmed up on the engine thread.

Kernels, caches and captured graphs belong to the thread that made them, so the model is loaded
where it will be asked. No rclpy here.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any, Protocol

from oryx_scene.answerer import Answerer
from oryx_scene.errors import OryxSceneError
from oryx_scene_ros.codes import Code, NodeError, stopped
from oryx_scene_ros.settings import NodeSettings
from oryx_scene_ros.worker import Job, Worker

# How often the waiting thread looks whether the node is being ended.
LOOK_S = 0.05


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
    from oryx_scene.model.load import load_answerer

    return load_answerer(model, device=device, dtype=dtype, quantization=quantization)


def load_on(
    worker: Worker, load: LoadAnswerer, settings: NodeSettings, ending: Callable[[], bool]
) -> Answerer:
    """Load on the engine thread and wait for it.

    Args:
        worker: whose thread will own the model.
        load: makes it.
        settings: name, device, precision, warm-up, and whether its speed is to be measured.
        ending: whether the node is being ended; polled.

    Raises:
        OryxSceneError: it cannot be loaded, or the node is being ended meanwhile.
    """
    done = threading.Event()
    outcome: list[Any] = []

    def ended(result: Any) -> None:
        outcome.append(result[0] if result[1] is None else None)
        done.set()

    worker.submit(Job("load", lambda job: _loaded(load, settings), ended), always=True)
    while not done.wait(LOOK_S):
        if ending():
            failure = stopped(Code.SHUTTING_DOWN)
            raise NodeError(Code.SHUTTING_DOWN, failure.message, hint=failure.hint)
    found = outcome[0]
    if isinstance(found, OryxSceneError):
        raise found
    if found is None:
        raise NodeError(Code.MODEL_NOT_LOADED, "loading failed; the log has the details.")
    answerer: Answerer = found
    return answerer


def _loaded(load: LoadAnswerer, settings: NodeSettings) -> Answerer | OryxSceneError:
    """On the engine thread."""
    from oryx_scene_ros.warmup import know_rates, warm_up

    try:
        answerer = load(
            settings.text("model.name"),
            device=settings.text("model.device") or None,
            dtype=settings.text("model.dtype") or None,
            quantization=settings.text("model.quantization"),
        )
        if settings.others["model.warmup"]:
            warm_up(answerer)
        know_rates(answerer, settings)
    except OryxSceneError as err:
        return err
    return answerer
