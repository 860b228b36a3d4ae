"""Scenes into the language model: pictures encoded, prefixes prefilled, questions read on them.

What was computed before is taken from the caches and only the rest is computed. Reads questions,
but chooses no token; one thread at a time.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor

from oryx_scene.errors import EngineError
from oryx_scene.model.api import Prompt
from oryx_scene.model.checkpoint.tokenizer import TextTokenizer, opening_ids
from oryx_scene.model.engine.config import EngineConfig, WorkCounters
from oryx_scene.model.engine.decode_batch import DecodeBatch, prefill
from oryx_scene.model.engine.decoder import Decoder
from oryx_scene.model.engine.feature_cache import FeatureCache
from oryx_scene.model.engine.kv import Slab
from oryx_scene.model.engine.scene_cache import PrefilledScene, SceneCache
from oryx_scene.model.engine.sequence_state import SequenceState, check_all
from oryx_scene.model.oryx.device_pixels import (
    normalise_on_device,
    pixels_on_device,
    resize_on_device,
)
from oryx_scene.model.oryx.oryx import Oryx
from oryx_scene.model.oryx.pixels import normalise
from oryx_scene.model.oryx.prompt_layout import SceneLayout, View, embed_units, layout_of


class SceneReader:
    """Encoded pictures and prefilled scenes of one model.

    Args:
        model: loaded weights.
        tokenizer: of the same checkpoint.
        decoder: over its language model.
        config: memory limits.
    """

    def __init__(
        self, model: Oryx, tokenizer: TextTokenizer, decoder: Decoder, config: EngineConfig
    ) -> None:
        self.model = model
        self.tokenizer = tokenizer
        self.device = model.device
        self.decoder = decoder
        self.config = config
        self.features = FeatureCache(config.feature_cache_bytes)
        self.scenes = SceneCache(config.scene_cache_bytes)
        self.work = WorkCounters()
        self._last: SceneLayout | None = None

    def forget(self) -> None:
        """Drop every encoded picture and prefilled scene."""
        self.features.clear()
        self.scenes.clear()
        self._last = None

    def synchronise(self) -> None:
        """Wait until the device has done what it was given."""
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)

    def layout(self, prompt: Prompt) -> SceneLayout:
        """The scene part of ``prompt``, laid out anew unless it is that of a kept scene."""
        known = self.scenes.layouts()
        if self._last is not None:
            known.insert(0, self._last)
        for layout in known:
            # Items compare by identity: a picture without a key is equal to itself only.
            if (layout.system, layout.scene) == (prompt.system, prompt.scene):
                return layout
        pieces = [part if isinstance(part, str) else None for part in prompt.scene]
        ids = opening_ids(self.tokenizer, prompt.system, pieces)
        self._last = layout_of(prompt.system, prompt.scene, ids)
        return self._last

    def read_questions(self, answers: Sequence[SequenceState]) -> tuple[DecodeBatch, list[Tensor]]:
        """All questions in one packed pass: their rows, and hidden states (ids, hidden) of each.

        Raises:
            Stopped: all of them were cancelled or late.
            EngineError: they are about different scenes.
        """
        scene = self.open(answers)
        lengths = [len(answer.question_ids) for answer in answers]
        shared = self.config.share_prefix and scene.slab.length >= self.config.share_from
        rows = DecodeBatch(self.decoder, scene.slab, len(answers), shared=shared)
        ids = [token for answer in answers for token in answer.question_ids]
        embeds = self.decoder.embed(torch.tensor(ids)).split(lengths)
        self.work.suffix_tokens += len(ids)
        return rows, rows.read(embeds, lambda: check_all(answers))

    def open(self, answers: Sequence[SequenceState]) -> PrefilledScene:
        """The scene of ``answers`` in the language model, from the cache as far as it is there."""
        layout = _common_scene(answers)
        for answer in answers:
            answer.timings["encode"] = 0.0
        check_all(answers)
        return self.scenes.get(layout) or self._prefilled(layout, answers)

    def _prefilled(self, layout: SceneLayout, answers: Sequence[SequenceState]) -> PrefilledScene:
        def check() -> None:
            check_all(answers)

        units = layout.units
        donor, shared = self.scenes.longest_prefix(layout)
        started = time.perf_counter()
        rest = units[shared:]
        maps = self.encode([view for unit in rest for view in unit.views], check)
        self.synchronise()
        for answer in answers:
            answer.lap("encode", started)
        slab = Slab(self.decoder.shape, layout.tokens)
        if donor is not None:
            slab.take_prefix(donor.slab, sum(unit.tokens for unit in units[:shared]))
        self.work.reused_tokens += slab.length
        self.work.prefill_tokens += slab.capacity - slab.length
        embeds = embed_units(rest, maps, self.model, self.decoder.embed)
        prefill(self.decoder, slab, embeds, check)
        self.work.prefills += 1
        scene = PrefilledScene(layout, slab)
        self.scenes.put(scene)
        return scene

    def encode(
        self, views: Sequence[View], check: Callable[[], None] = lambda: None
    ) -> list[Tensor]:
        """Compressed features of ``views``; those not seen before go through the tower together.

        A picture that stands among them twice is encoded once.
        """
        found: dict[int, Tensor] = {}
        firsts: dict[tuple[str, tuple[int, int]], int] = {}
        for index, view in enumerate(views):
            same = (view.key, view.grid)
            if view.key and same not in firsts:
                kept = self.features.get(view.key, view.grid)
                if kept is not None:
                    found[index] = kept
                firsts[same] = index
        twins = [
            firsts[view.key, view.grid] if view.key else index for index, view in enumerate(views)
        ]
        todo = [index for index in dict.fromkeys(twins) if index not in found]
        for start in range(0, len(todo), self.config.packed_pictures):
            batch = todo[start : start + self.config.packed_pictures]
            pixels = self._pixels([views[index] for index in batch])
            strides = [views[index].stride for index in batch]
            maps = self.model.encode(pixels, strides, check)
            self.work.encodes += len(batch)
            for index, one in zip(batch, maps, strict=True):
                found[index] = one
                if views[index].key:
                    self.features.put(views[index].key, one)
        return [found[index] for index in twins]

    def _pixels(self, views: Sequence[View]) -> list[Tensor]:
        """(3, H, W) normalised per view; on a GPU a picture goes there once, as bytes."""
        device = self.device
        if not pixels_on_device(device):
            return [normalise(view.pixels()) for view in views]
        sent: dict[int, Tensor] = {}
        found = []
        for view in views:
            rgb = sent.get(id(view.image))
            if rgb is None:
                rgb = torch.from_numpy(np.ascontiguousarray(view.image)).to(device)
                sent[id(view.image)] = rgb
            if view.low_size is not None:
                rgb = resize_on_device(rgb, view.low_size)
            found.append(normalise_on_device(rgb))
        return found

    def counters(self) -> dict[str, int | float]:
        """What was computed and what was kept since the engine was made."""
        return {
            **vars(self.work),
            "feature_hits": self.features.counters.hits,
            "feature_evictions": self.features.counters.evictions,
            "feature_bytes": self.features.bytes,
            "scene_hits": self.scenes.counters.hits,
            "scene_evictions": self.scenes.counters.evictions,
            "scene_bytes": self.scenes.bytes,
        }


def _common_scene(answers: Sequence[SequenceState]) -> SceneLayout:
    """The scene that all answers are about."""
    layout = answers[0].layout
    others = (answer.layout for answer in answers[1:])
    # A picture without a key is equal to itself only.
    if not all(other is layout or other.equals(layout) for other in others):
        raise EngineError(
            "questions on different scenes were asked together.", hint="ask per scene"
        )
    return layout
