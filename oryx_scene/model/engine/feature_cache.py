"""Encoded pictures kept by content key, bounded by bytes, least recently used out first.

What is kept is the output of the compressor, before the projector's layout, so that a picture can
stand anywhere in any slot. A hit whose size does not fit is treated as a miss, never used.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass

from torch import Tensor


@dataclass
class CacheCounters:
    """What a cache has done since it was made."""

    hits: int = 0
    misses: int = 0
    evictions: int = 0


class FeatureCache:
    """Compressed features by key.

    Args:
        capacity_bytes: most bytes kept; 0 keeps nothing.
    """

    def __init__(self, capacity_bytes: int) -> None:
        self.capacity_bytes = capacity_bytes
        self.counters = CacheCounters()
        self.bytes = 0
        self._entries: OrderedDict[str, Tensor] = OrderedDict()

    def get(self, key: str, grid: tuple[int, int]) -> Tensor | None:
        """(rows, columns, width) kept under ``key``, None if absent or of another grid."""
        found = self._entries.get(key)
        if found is None or tuple(found.shape[:2]) != grid:
            self.counters.misses += 1
            return None
        self._entries.move_to_end(key)
        self.counters.hits += 1
        return found

    def put(self, key: str, features: Tensor) -> None:
        """Keep ``features``; the least recently used go where there is no room."""
        size = features.numel() * features.element_size()
        if size > self.capacity_bytes:
            return
        old = self._entries.pop(key, None)
        if old is not None:
            self.bytes -= old.numel() * old.element_size()
        # A view would keep the whole packed batch alive.
        self._entries[key] = features.clone()
        self.bytes += size
        while self.bytes > self.capacity_bytes:
            _, gone = self._entries.popitem(last=False)
            self.bytes -= gone.numel() * gone.element_size()
            self.counters.evictions += 1

    def clear(self) -> None:
        """Forget everything."""
        self._entries.clear()
        self.bytes = 0
