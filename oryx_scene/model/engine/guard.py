"""One caller at a time, and what kernels raise as errors that name a way out."""

from __future__ import annotations

import contextlib
import threading
import traceback
from collections.abc import Callable, Iterator

import torch

from oryx_scene.errors import DeviceMemoryError, EngineError
from oryx_scene.model.checkpoint.memory import out_of_memory


class Guard:
    """Stands around everything that an engine does on its device.

    Args:
        device: of the engine.
        forget: drops what the engine keeps; called after any failure.
        give_up: gives back memory that only makes it faster; called when memory ran out.
    """

    def __init__(
        self, device: torch.device, forget: Callable[[], None], give_up: Callable[[], None]
    ) -> None:
        self._device = device
        self._forget = forget
        self._give_up = give_up
        self._busy = threading.Lock()

    @contextlib.contextmanager
    def alone(self) -> Iterator[None]:
        """Refuse a second thread; turn failures into errors and leave nothing of them behind.

        Raises:
            EngineError: another thread is inside, or the model failed.
            DeviceMemoryError: memory ran out.
        """
        if not self._busy.acquire(blocking=False):
            raise EngineError(
                "the engine is answering another prompt.", hint="ask from one thread at a time"
            )
        try:
            with torch.inference_mode():
                yield
        except (RuntimeError, MemoryError) as err:
            # What a failed kernel left in a cache cannot be trusted.
            self._forget()
            if out_of_memory(err):
                self._return_memory(err)
                raise DeviceMemoryError(
                    f"{self._device} ran out of memory; cached scenes were dropped.",
                    hint="ask with fewer views or a stronger compression",
                ) from err
            raise EngineError(
                f"the model failed ({' '.join(str(err).split())[:200]}); caches were dropped.",
                hint="ask again; if it stays, run oryx-scene conformance on this device",
            ) from err
        finally:
            self._busy.release()

    def _return_memory(self, err: BaseException) -> None:
        """Give blocks that torch holds back to the device, so that other sizes fit."""
        # The failed pass's frames still hold its tensors.
        traceback.clear_frames(err.__traceback__)
        self._give_up()
        if self._device.type == "cuda":
            torch.cuda.empty_cache()
