"""Prefilled scenes: one slab of keys and values each, shared by every question about the scene.

Memory is bounded; the least recently used scene goes first and is recomputed when it is asked about
again. A scene that begins like a kept one takes over the tokens they have in common.
"""

from __future__ import annotations

from dataclasses import dataclass

from oryx_scene.model.engine.feature_cache import CacheCounters
from oryx_scene.model.engine.kv import Slab
from oryx_scene.model.oryx.prompt_layout import SceneLayout, common_units


@dataclass(frozen=True, eq=False)
class PrefilledScene:
    """One scene in the language model.

    Attributes:
        layout: what it is made of.
        slab: keys and values, exactly as long as the scene.
    """

    layout: SceneLayout
    slab: Slab


class SceneCache:
    """Prefilled scenes, last used last.

    Args:
        capacity_bytes: most bytes of keys and values kept; 0 keeps none.
    """

    def __init__(self, capacity_bytes: int) -> None:
        self.capacity_bytes = capacity_bytes
        self.counters = CacheCounters()
        self._scenes: list[PrefilledScene] = []

    @property
    def bytes(self) -> int:
        """Bytes of keys and values kept now."""
        return sum(scene.slab.bytes for scene in self._scenes)

    def __len__(self) -> int:
        return len(self._scenes)

    def layouts(self) -> list[SceneLayout]:
        """Of the scenes kept, last used first."""
        return [scene.layout for scene in reversed(self._scenes)]

    def get(self, layout: SceneLayout) -> PrefilledScene | None:
        """The scene made of exactly these units, None if absent."""
        for scene in self._scenes:
            if scene.layout is layout or scene.layout.equals(layout):
                self._scenes.remove(scene)
                self._scenes.append(scene)
                self.counters.hits += 1
                return scene
        self.counters.misses += 1
        return None

    def longest_prefix(self, layout: SceneLayout) -> tuple[PrefilledScene | None, int]:
        """The kept scene that shares most first units with ``layout``, and how many."""
        best, most = None, 0
        for scene in self._scenes:
            count = common_units(scene.layout.units, layout.units)
            if count > most:
                best, most = scene, count
        return best, most

    def put(self, scene: PrefilledScene) -> None:
        """Keep ``scene``; others go where there is no room. Pictures without a key are not kept."""
        if not scene.layout.keyed or scene.slab.bytes > self.capacity_bytes:
            return
        self._scenes.append(scene)
        while self.bytes > self.capacity_bytes:
            self._scenes.pop(0)
            self.counters.evictions += 1

    def drop(self, layout: SceneLayout) -> None:
        """Give back the scene made of exactly these units, where it is kept."""
        self._scenes = [scene for scene in self._scenes if not scene.layout.equals(layout)]

    def clear(self) -> None:
        """Drop all scenes."""
        self._scenes.clear()
