"""Prefilled scenes: the KV cache of a prompt's shared part, kept for the next question.

A scene's entry is extended by one question at a time and cut back to its own length afterwards, so
that a cancelled question leaves it usable. Memory is bounded; the least recently used scene goes
first and is recomputed when it is asked about again.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass

from oryx_scene.answerer import VisualItem
from oryx_scene.model.cache import CacheCounters
from oryx_scene.model.decode import TokenSequence


@dataclass
class PrefilledScene:
    """One scene in the language model.

    Attributes:
        sequence: its KV cache, exactly ``length`` tokens between questions.
        length: tokens of the scene part.
        visual_tokens: of all slots.
        bytes: of the KV cache at ``length``.
    """

    sequence: TokenSequence
    length: int
    visual_tokens: int
    bytes: int


def scene_key(ids: Sequence[int], items: Sequence[VisualItem]) -> str:
    """Key of a prompt's shared part; "" if a picture has no content key."""
    digest = hashlib.sha256(repr(list(ids)).encode())
    for item in items:
        if not item.keys or not all(item.keys):
            return ""
        digest.update(repr((item.keys, int(item.stride), item.low_size)).encode())
    return digest.hexdigest()


class SceneCache:
    """Prefilled scenes by key.

    Args:
        capacity_bytes: most bytes of KV kept; 0 keeps none.
    """

    def __init__(self, capacity_bytes: int) -> None:
        self.capacity_bytes = capacity_bytes
        self.counters = CacheCounters()
        self._scenes: OrderedDict[str, PrefilledScene] = OrderedDict()

    @property
    def bytes(self) -> int:
        """Bytes of KV kept now."""
        return sum(scene.bytes for scene in self._scenes.values())

    def get(self, key: str) -> PrefilledScene | None:
        """The scene kept under ``key``, None if absent."""
        found = self._scenes.get(key) if key else None
        if found is None:
            self.counters.misses += 1
            return None
        self._scenes.move_to_end(key)
        self.counters.hits += 1
        return found

    def put(self, key: str, scene: PrefilledScene) -> None:
        """Keep ``scene``; others go where there is no room."""
        if not key or scene.bytes > self.capacity_bytes:
            return
        self._scenes[key] = scene
        self._scenes.move_to_end(key)
        while self.bytes > self.capacity_bytes:
            self._scenes.popitem(last=False)
            self.counters.evictions += 1

    def forget(self, key: str) -> None:
        """Drop one scene, if it is there."""
        self._scenes.pop(key, None)

    def clear(self) -> None:
        """Drop all scenes."""
        self._scenes.clear()
