"""What an engine holds from question to question: model, caches, captured steps, counters, card."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence

from torch import Tensor

from oryx_scene.model.api import ModelCard, Rates
from oryx_scene.model.checkpoint.cpu_linear import speed_up, timing_rounds
from oryx_scene.model.checkpoint.tokenizer import TextTokenizer
from oryx_scene.model.engine.config import EngineConfig, Stops, Work
from oryx_scene.model.engine.cuda_graphs import StaticRows
from oryx_scene.model.engine.decode_loop import Stepping
from oryx_scene.model.engine.decoder import Decoder
from oryx_scene.model.engine.feature_cache import FeatureCache
from oryx_scene.model.engine.guard import Guard
from oryx_scene.model.engine.json_schema import JsonForms
from oryx_scene.model.engine.sampling import Constraint
from oryx_scene.model.engine.scene_cache import SceneCache
from oryx_scene.model.engine.scene_reader import SceneReader
from oryx_scene.model.oryx.oryx import Oryx
from oryx_scene.model.oryx.prompt_layout import View
from oryx_scene.warning import Warning


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
        self._reader = SceneReader(model, self.decoder, self.config)
        self._stepping = Stepping()
        self._guard = Guard(model.device, self.forget, self._stepping.give_up)
        self._tokenizer = tokenizer
        self._card = card
        if self.config.rows_kernel:
            self._card = dataclasses.replace(card, linear=speed_up(model))
            if model.device.type == "cpu" and timing_rounds(model.dtype):
                doubt = Warning("linear_chosen_by_timing", f"linear layers: {self._card.linear}")
                self._card = dataclasses.replace(self._card, warnings=(*self._card.warnings, doubt))
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
    def work(self) -> Work:
        """What was computed since the engine was warm."""
        return self._reader.work

    @property
    def static(self) -> StaticRows | None:
        """The captured decode steps, None where there are none."""
        return self._stepping.static

    @static.setter
    def static(self, steps: StaticRows | None) -> None:
        self._stepping.static = steps

    def count_text_tokens(self, text: str) -> int:
        """Tokens that ``text`` takes in a prompt."""
        return len(self._tokenizer.encode_plain(text))

    def counters(self) -> dict[str, int | float]:
        """What was computed and what was kept since the engine was made."""
        return self._reader.counters()

    def forget(self) -> None:
        """Drop every encoded picture and prefilled scene."""
        self._reader.forget()
        self._stepping.forget()

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
