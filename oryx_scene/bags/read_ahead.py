"""Messages of a bag in the order of recording, kept for a moment until they are asked for.

Finding one message again costs a seek and often a decompressed chunk; whoever goes through a bag
from front to back need not pay that for every message. Knows topics and serial numbers, not ROS.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

# Enough for the pictures and depth of eight cameras of one moment; tens of megabytes at most.
KEPT_MESSAGES = 32


class ReadAhead:
    """Serves messages by topic and serial number from one pass.

    Args:
        messages: (connection, log_ns, data) in recorded order.
        first: topic -> serial number of its first message in ``messages``.
    """

    def __init__(
        self, messages: Iterator[tuple[Any, int, bytes]], first: Mapping[str, int]
    ) -> None:
        self._messages = messages
        self._next = dict(first)
        self._kept: dict[tuple[str, int], tuple[Any, bytes]] = {}

    def take(self, topic: str, serial: int) -> tuple[Any, bytes] | None:
        """(connection, data) of one message; None if it lies behind or cannot be read."""
        key = (topic, serial)
        while key not in self._kept and self._next.get(topic, serial + 1) <= serial:
            if not self._pull():
                return None
        return self._kept.get(key)

    def _pull(self) -> bool:
        found = next(self._messages, None)
        if found is None:
            return False
        connection, _, data = found
        serial = self._next[connection.topic]
        self._next[connection.topic] = serial + 1
        if len(self._kept) >= KEPT_MESSAGES:
            self._kept.pop(next(iter(self._kept)))
        self._kept[(connection.topic, serial)] = (connection, data)
        return True
