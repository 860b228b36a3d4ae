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
from oryx_scene.model.slots import count_visual_tokens, views_of
from oryx_scene.model.splice import splice
from oryx_scene.model.tokenizer import TextTokenizer, split_prompt_ids


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
            self.forget()
            raise EngineError(
                "the device ran out of memory; cached scenes were dropped.",
                hint="ask with fewer views or a stronger compression",
            ) from err
        except RuntimeError as err:
            # What a failed kernel left in a cache cannot be trusted.
            self.forget()
            raise EngineError(
                f"the model failed ({' '.join(str(err).split())[:200]}); caches were dropped.",
                hint="ask again; if it stays, run oryx-scene conformance on this device",
            ) from err
        finally:
            self._busy.release()

    def forget(self) -> None:
        """Drop every encoded picture and prefilled scene."""
        self.features.clear()
        self.scenes.clear()

    # -- stages ---------------------------------------------------------------------------------

    def encode(self, items: Sequence[VisualItem], watch: StopWatch) -> list[Tensor]:
        """Visual tokens of every item; pictures not seen before go through the tower together."""
        wanted = [view for item in items for view in views_of(item)]
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
        expected = len(ids) - len(items) + count_visual_tokens(items)
        if embeds.shape[0] != expected:
            raise EngineError(
                f"the scene came out as {embeds.shape[0]} tokens, {expected} were predicted."
            )
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
        self.warnings: list[str] = []

    def run(self) -> Generation:
        engine = self.engine
        scene_ids, question_ids = split_prompt_ids(engine._tokenizer, self.prompt)
        items = [part for part in self.prompt.scene if isinstance(part, VisualItem)]
        self.visual_tokens = count_visual_tokens(items)
        text_tokens = len(scene_ids) - len(items) + len(question_ids)
        self.prompt_tokens = text_tokens + self.visual_tokens
        room = self._room()
        reason = ""
        try:
            self.watch.check()
            scene, encode_s = engine.prefill_scene(scene_ids, items, self.watch)
            self.timings["encode"] = encode_s
            try:
                reason = self._decode(scene, question_ids, room)
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
            warnings=tuple(self.warnings),
        )

    def _room(self) -> int:
        """New tokens that the limits and the model's context allow."""
        context = self.engine.card.context_length
        room = context - self.prompt_tokens
        if room < 1:
            raise EngineError(
                f"the prompt has {self.prompt_tokens} tokens, the model's context {context}.",
                hint="ask with fewer views or a stronger compression",
            )
        if room < self.limits.max_new_tokens:
            self.warnings.append(
                f"The answer is limited to {room} tokens by the model's context of {context}."
            )
        return min(room, self.limits.max_new_tokens)

    def _decode(self, scene: PrefilledScene, question_ids: list[int], room: int) -> str:
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
            room,
            self.watch,
        )
        try:
            for token, found in pairs:
                reason = found
                self._take(token)
        finally:
            self.timings["decode"] = time.perf_counter() - started
        return reason

    def _take(self, token: int) -> None:
        """Keep ``token`` and pass on its text; half a character waits for its other bytes."""
        self.produced.append(token)
        self.timings.setdefault("first_token", self.watch.elapsed())
        ids = [token for token in self.produced if token not in self.engine._stops.ids]
        text = self.engine._tokenizer.decode(ids).rstrip("\ufffd")
        if len(text) > len(self.text) and text.startswith(self.text):
            fresh = text[len(self.text) :]
            self.text = text
            if self.on_text is not None:
                self.on_text(fresh)


def _ids_hash(ids: Sequence[int]) -> str:
    """sha256 of ids as little-endian int64, ``PLACEHOLDER`` per slot."""
    return hashlib.sha256(np.asarray(ids, dtype="<i8").tobytes()).hexdigest()
