"""The engine: one prompt in, streamed text out; encode, prefill and decode as named stages.

Pictures that were encoded before and scenes that were prefilled before are not computed again.
Everything on the device happens in the thread that calls; one thread at a time. The engine deals in
prompts and text, the modules beside it in tensors.
"""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from oryx_scene.answerer import Generation, Limits, ModelCard, Prompt, Stride, VisualItem
from oryx_scene.errors import EngineError
from oryx_scene.model.cache import FeatureCache
from oryx_scene.model.decode import Stopped, StopWatch, TokenSequence, tokens_until_stop
from oryx_scene.model.oryx import Oryx
from oryx_scene.model.pixels import normalise
from oryx_scene.model.sampling import TokenChooser
from oryx_scene.model.scene_cache import PrefilledScene, SceneCache, scene_key
from oryx_scene.model.splice import splice
from oryx_scene.model.tokenizer import TextTokenizer, split_prompt_ids
from oryx_scene.prompt.resample import resize
from oryx_scene.prompt.sizes import pooled_grid


@dataclass(frozen=True)
class EngineConfig:
    """Memory that the engine may keep between questions.

    Attributes:
        feature_cache_bytes: encoded pictures.
        scene_cache_bytes: KV of prefilled scenes.
        packed_pictures: most pictures in one pass through the vision tower.
    """

    feature_cache_bytes: int = 512 * 2**20
    scene_cache_bytes: int = 2 * 2**30
    packed_pictures: int = 16


@dataclass(frozen=True)
class Stops:
    """How the checkpoint itself ends and shapes its answers (generation_config.json)."""

    ids: frozenset[int]
    repetition_penalty: float = 1.0


class Engine:
    """An :class:`oryx_scene.answerer.Answerer` on one device.

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
        self.config = config or EngineConfig()
        self.features = FeatureCache(self.config.feature_cache_bytes)
        self.scenes = SceneCache(self.config.scene_cache_bytes)
        self.encodes = 0
        self.prefills = 0
        self._tokenizer = tokenizer
        self._card = card
        self._stops = stops
        self._busy = threading.Lock()

    @property
    def card(self) -> ModelCard:
        """Name, precision and limits of the model."""
        return self._card

    def count_text_tokens(self, text: str) -> int:
        """Tokens that ``text`` takes in a prompt."""
        return len(self._tokenizer.encode_plain(text))

    def generate(
        self, prompt: Prompt, limits: Limits, on_text: Callable[[str], None] | None = None
    ) -> Generation:
        """Answer ``prompt``; ``on_text`` receives each piece of text as soon as it exists.

        Raises:
            EngineError: the model failed, or another thread is answering; the engine lives on.
        """
        if not self._busy.acquire(blocking=False):
            raise EngineError(
                "the engine is answering another prompt.", hint="ask from one thread at a time"
            )
        try:
            with torch.inference_mode():
                return _Answer(self, prompt, limits, on_text).run()
        except torch.OutOfMemoryError as err:
            self.features.clear()
            self.scenes.clear()
            raise EngineError(
                "the device ran out of memory; cached scenes were dropped.",
                hint="ask with fewer views or a stronger compression",
            ) from err
        finally:
            self._busy.release()

    # -- stages ---------------------------------------------------------------------------------

    def encode(self, items: Sequence[VisualItem], watch: StopWatch) -> list[Tensor]:
        """Visual tokens of every item; pictures not seen before go through the tower together."""
        wanted = [view for item in items for view in _views_of(item)]
        found: dict[int, Tensor] = {}
        for index, view in enumerate(wanted):
            kept = self.features.get(view.key, view.grid) if view.key else None
            if kept is not None:
                found[index] = kept
        todo = [index for index in range(len(wanted)) if index not in found]
        for start in range(0, len(todo), self.config.packed_pictures):
            watch.check()
            batch = todo[start : start + self.config.packed_pictures]
            pixels = [normalise(wanted[index].pixels()) for index in batch]
            maps = self.model.encode(pixels, [wanted[index].stride for index in batch])
            self.encodes += len(batch)
            for index, one in zip(batch, maps, strict=True):
                found[index] = one
                if wanted[index].key:
                    self.features.put(wanted[index].key, one)
        return self._project(items, [found[index] for index in range(len(wanted))])

    def _project(self, items: Sequence[VisualItem], maps: list[Tensor]) -> list[Tensor]:
        slots, start = [], 0
        for item in items:
            if item.stride is Stride.IMAGE:
                high, low = maps[start : start + 2]
                slots.append(self.model.project_image(low, high))
                start += 2
            else:
                end = start + len(item.images)
                slots.append(self.model.project_video(maps[start:end], item.stride))
                start = end
        return slots

    def prefill_scene(
        self, ids: Sequence[int], items: Sequence[VisualItem], watch: StopWatch
    ) -> tuple[PrefilledScene, float]:
        """The scene part in the language model, and the seconds that encoding took."""
        key = scene_key(ids, items)
        kept = self.scenes.get(key)
        if kept is not None:
            return kept, 0.0
        started = time.perf_counter()
        slots = self.encode(items, watch)
        self._synchronise()
        encode_s = time.perf_counter() - started
        embeds = splice(ids, slots, self._embed)
        sequence = TokenSequence(self.model.language)
        sequence.prefill(embeds, watch)
        self.prefills += 1
        visual = sum(slot.shape[0] for slot in slots)
        scene = PrefilledScene(sequence, sequence.length, visual, sequence.bytes)
        self.scenes.put(key, scene)
        return scene, encode_s

    def _embed(self, ids: Tensor) -> Tensor:
        return self.model.embed_text(ids.to(self.model.device))

    def _synchronise(self) -> None:
        if self.model.device.type == "cuda":
            torch.cuda.synchronize(self.model.device)

    def counters(self) -> dict[str, int | float]:
        """What was computed and what was kept since the engine was made."""
        return {
            "encodes": self.encodes,
            "prefills": self.prefills,
            "feature_hits": self.features.counters.hits,
            "feature_evictions": self.features.counters.evictions,
            "feature_bytes": self.features.bytes,
            "scene_hits": self.scenes.counters.hits,
            "scene_evictions": self.scenes.counters.evictions,
            "scene_bytes": self.scenes.bytes,
        }


@dataclass(frozen=True, eq=False)
class _View:
    """One picture on its way to the tower; ``low_size`` is set for coarse views."""

    image: Any
    stride: Stride
    key: str
    low_size: tuple[int, int] | None = None

    @property
    def grid(self) -> tuple[int, int]:
        height, width = self.low_size or self.image.shape[:2]
        return pooled_grid(int(height), int(width), self.stride)

    def pixels(self) -> Any:
        return self.image if self.low_size is None else resize(self.image, self.low_size)


def _views_of(item: VisualItem) -> list[_View]:
    keys = item.keys or ("",) * len(item.images)
    views = []
    for image, key in zip(item.images, keys, strict=True):
        own = f"{key}/{int(item.stride)}" if key else ""
        views.append(_View(image, item.stride, own))
        if item.stride is Stride.IMAGE:
            assert item.low_size is not None
            low = f"{own}/{item.low_size}" if key else ""
            views.append(_View(image, item.stride, low, item.low_size))
    return views


class _Answer:
    """One call of :meth:`Engine.generate`."""

    def __init__(
        self,
        engine: Engine,
        prompt: Prompt,
        limits: Limits,
        on_text: Callable[[str], None] | None,
    ) -> None:
        self.engine = engine
        self.prompt = prompt
        self.limits = limits
        self.on_text = on_text
        self.watch = StopWatch.start(limits)
        self.produced: list[int] = []
        self.text = ""
        self.timings: dict[str, float] = {}
        self.prompt_tokens = 0
        self.visual_tokens = 0

    def run(self) -> Generation:
        engine = self.engine
        scene_ids, question_ids = split_prompt_ids(engine._tokenizer, self.prompt)
        items = [part for part in self.prompt.scene if isinstance(part, VisualItem)]
        reason = ""
        try:
            self.watch.check()
            scene, encode_s = engine.prefill_scene(scene_ids, items, self.watch)
            self.timings["encode"] = encode_s
            self.visual_tokens = scene.visual_tokens
            self.prompt_tokens = scene.length + len(question_ids)
            try:
                reason = self._decode(scene, question_ids)
            finally:
                # Whatever happened, the next question finds the scene as it was.
                scene.sequence.cut(scene.length)
        except Stopped as stopped:
            reason = stopped.reason
        self.timings["total"] = self.watch.elapsed()
        return Generation(
            text=self.text,
            token_ids=tuple(self.produced),
            stop_reason=reason,
            prompt_tokens=self.prompt_tokens,
            visual_tokens=self.visual_tokens,
            tokens_sha256=_ids_hash([*scene_ids, *question_ids]),
            timings_s=self.timings,
            counters=engine.counters(),
        )

    def _decode(self, scene: PrefilledScene, question_ids: list[int]) -> str:
        engine, limits = self.engine, self.limits
        penalty = limits.repetition_penalty
        if penalty is None:
            penalty = engine._stops.repetition_penalty
        chooser = TokenChooser(limits, penalty)
        embeds = engine._embed(torch.tensor(question_ids))
        logits = scene.sequence.prefill(embeds, self.watch)
        engine._synchronise()
        self.timings["prefill"] = self.watch.elapsed() - self.timings["encode"]
        started = time.perf_counter()
        reason = ""
        pairs = tokens_until_stop(
            scene.sequence,
            logits,
            chooser.choose,
            engine._stops.ids,
            limits.max_new_tokens,
            self.watch,
        )
        try:
            for token, reason in pairs:
                self._take(token, last=bool(reason))
        finally:
            self.timings["decode"] = time.perf_counter() - started
            self._emit(final=True)
        return reason

    def _take(self, token: int, *, last: bool) -> None:
        self.produced.append(token)
        if len(self.produced) == 1:
            self.timings["first_token"] = self.watch.elapsed()
        if not last:
            self._emit(final=False)

    def _emit(self, *, final: bool) -> None:
        """Pass on new text; a character whose bytes have not all come yet is held back."""
        ids = [token for token in self.produced if token not in self.engine._stops.ids]
        text = self.engine._tokenizer.decode(ids)
        if not final:
            text = text.rstrip("\ufffd")
        if len(text) > len(self.text) and text.startswith(self.text):
            fresh = text[len(self.text) :]
            self.text = text
            if self.on_text is not None:
                self.on_text(fresh)
        elif final:
            self.text = text


def _ids_hash(ids: Sequence[int]) -> str:
    """sha256 of ids as little-endian int64, ``PLACEHOLDER`` per slot."""
    return hashlib.sha256(np.asarray(ids, dtype="<i8").tobytes()).hexdigest()
