"""What an engine holds from question to question: model, caches, captured steps, counters, card.

One caller at a time is let in, and what kernels raise becomes errors that name a way out.
"""

from __future__ import annotations

import contextlib
import dataclasses
import threading
import traceback
from collections.abc import Callable, Iterator, Sequence

import torch
from torch import Tensor

from oryx_scene.errors import DeviceMemoryError, EngineError
from oryx_scene.model.api import ModelCard, Rates
from oryx_scene.model.checkpoint.cpu_linear import speed_up
from oryx_scene.model.checkpoint.memory import out_of_memory
from oryx_scene.model.checkpoint.tokenizer import TextTokenizer
from oryx_scene.model.engine.config import EngineConfig, Stops, WorkCounters
from oryx_scene.model.engine.cuda_graphs import StaticRows
from oryx_scene.model.engine.decode import DecodeLoop
from oryx_scene.model.engine.decoder import Decoder
from oryx_scene.model.engine.feature_cache import FeatureCache
from oryx_scene.model.engine.json_schema import JsonForms
from oryx_scene.model.engine.sampling import Constraint
from oryx_scene.model.engine.scene_cache import SceneCache
from oryx_scene.model.engine.scene_reader import SceneReader
from oryx_scene.model.oryx.oryx import Oryx
from oryx_scene.model.oryx.prompt_layout import View


class EngineState:
    """The lasting part of an :class:`oryx_scene.model.engine.engine.Engine`; it answers nothing.

    Args:
        model: loaded weights.
        tokenizer: of the same checkpoint.
        card: what answers say about the model.
        stops: stop ids and penalty of the checkpoint.
        config: memory limits.
    """

    def __init__(
        self,
        model: Oryx,
        tokenizer: TextTokenizer,
        card: ModelCard,
        stops: Stops,
        config: EngineConfig | None = None,
    ) -> None:
        self.model = model
        self.decoder = Decoder(model.language)
        self.config = config or EngineConfig()
        self._reader = SceneReader(model, tokenizer, self.decoder, self.config)
        self._loop = DecodeLoop()
        self._busy = threading.Lock()
        self._tokenizer = tokenizer
        self._card = card
        if self.config.rows_kernel:
            self._card = dataclasses.replace(card, linear=speed_up(model))
        self._stops = stops
        self._json: JsonForms | None = None

    @property
    def card(self) -> ModelCard:
        """Name, precision and limits of the model."""
        return self._card

    def set_rates(self, rates: Rates) -> None:
        """Let the card say how fast this model is here."""
        self._card = dataclasses.replace(self._card, rates=rates)

    @property
    def tokenizer(self) -> TextTokenizer:
        """The checkpoint's tokenizer."""
        return self._tokenizer

    @property
    def features(self) -> FeatureCache:
        """Encoded pictures."""
        return self._reader.features

    @property
    def scenes(self) -> SceneCache:
        """Prefilled scenes."""
        return self._reader.scenes

    def bound_caches(self, feature_bytes: int, scene_bytes: int) -> None:
        """How much may be kept from now on, in place of the config's ``*_cache_bytes``."""
        self.features.capacity_bytes, self.scenes.capacity_bytes = feature_bytes, scene_bytes

    @property
    def work(self) -> WorkCounters:
        """What was computed since the engine was warm."""
        return self._reader.work

    @property
    def static(self) -> StaticRows | None:
        """The captured decode steps, None where there are none."""
        return self._loop.static

    @static.setter
    def static(self, steps: StaticRows | None) -> None:
        self._loop.static = steps

    def count_text_tokens(self, text: str) -> int:
        """Tokens that ``text`` takes in a prompt."""
        return len(self._tokenizer.encode_plain(text))

    def counters(self) -> dict[str, int | float]:
        """What was computed and what was kept since the engine was made."""
        return self._reader.counters()

    def forget(self) -> None:
        """Drop every encoded picture and prefilled scene."""
        self._reader.forget()
        self._loop.forget()

    def encode(
        self, views: Sequence[View], check: Callable[[], None] = lambda: None
    ) -> list[Tensor]:
        """As :meth:`SceneReader.encode`."""
        return self._reader.encode(views, check)

    def constraint_for(self, schema: str) -> Constraint:
        """What keeps an answer to a JSON schema.

        Raises:
            MissingExtraError: without the extra that does it.
        """
        if self._json is None:
            rows = int(self.model.language.config.vocab_size)
            self._json = JsonForms(self._tokenizer.hub_tokenizer, rows, self._stops.ids)
        return self._json.constraint(schema)

    @contextlib.contextmanager
    def _alone(self) -> Iterator[None]:
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
            self.forget()
            if out_of_memory(err):
                self._return_memory(err)
                raise DeviceMemoryError(
                    f"{self.model.device} ran out of memory; cached scenes were dropped.",
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
        self._loop.give_up()
        if self.model.device.type == "cuda":
            torch.cuda.empty_cache()
