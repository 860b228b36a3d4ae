"""One data file of a recording: its channels, where each message lies, and its bytes again.

Every format is gone through once, from front to back, without the index at its end: a file whose
recorder was killed is read as far as it goes, and one channel that nobody understands condemns
nothing but itself. A message is found again by its place, so nothing is read twice.
"""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from oryx_scene.warning import Warning

# Where a message lies in its file; each format has its own. The last number is its size in bytes.
Place = tuple[int, ...]

# Decompressed chunks that are kept: pictures and depth of one moment lie in neighbouring chunks.
KEPT_CHUNKS = 8


@dataclass(frozen=True)
class Channel:
    """One topic of one message type, as a file describes it.

    Attributes:
        topic: as recorded.
        msgtype: in ROS 2's spelling where the file has ROS 1's, e.g. "sensor_msgs/msg/Image".
        encoding: of the messages, "cdr" and "ros1" are understood.
        definition: text of the message definition, "" where the file has none.
        definition_encoding: "ros1msg", "ros2msg", "ros2idl", or another that is not understood.
    """

    topic: str
    msgtype: str
    encoding: str
    definition: str = ""
    definition_encoding: str = ""

    @property
    def understood(self) -> bool:
        """Whether the encoding of its messages is one of ROS."""
        return self.encoding in ("cdr", "ros1")


class DataFile(ABC):
    """One file that holds messages.

    Attributes:
        repair: what to do about a file that is cut off.
        path: of the file.
        problems: damage that was met, filled by :meth:`scan`.
        counts: (topic, message type) -> messages that the file says it holds, None where it does
            not say; complete after a scan.
    """

    repair = "copy it again"

    def __init__(self, path: Path) -> None:
        self.path = path
        self.problems: list[Warning] = []
        self.counts: dict[tuple[str, str], int] | None = None

    @abstractmethod
    def start_ns(self) -> int:
        """Time of recording of the first message, to put files in order; large if there is none."""

    @abstractmethod
    def scan(self) -> Iterator[tuple[Channel, int, Place]]:
        """All messages from front to back: channel, time of recording in nanoseconds, place."""

    @abstractmethod
    def read(self, place: Place, size: int | None = None) -> bytes:
        """The bytes of a message, or at least its first ``size`` where that is cheaper.

        Raises:
            ValueError, OSError: they cannot be read.
        """

    @abstractmethod
    def tail(self, place: Place, size: int) -> bytes:
        """The last bytes of a message, at most ``size``.

        Raises:
            ValueError, OSError: they cannot be read.
        """

    @abstractmethod
    def close(self) -> None:
        """Let go of the file."""

    def damaged(self, what: str) -> None:
        """Remember that a piece of the file cannot be read."""
        self.problems.append(Warning("recording_damaged", what, topic=self.path.name))

    def cut_off(self, what: str) -> None:
        """Remember that the file ends too early."""
        name = self.path.name
        self.problems.append(Warning("recording_cut_off", what, topic=name, advice=self.repair))


class ChunkedFile(DataFile):
    """A file of records, some of which are chunks that hold records, maybe compressed.

    A place is (offset of the compressed chunk or -1, offset, size); the offset counts from the
    beginning of the file, or of the decompressed chunk.
    """

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self._file = path.open("rb")
        self.size = os.fstat(self._file.fileno()).st_size
        self._chunks: dict[int, bytes] = {}

    def pread(self, size: int, at: int) -> bytes:
        """Bytes of the file; fewer than ``size`` at its end."""
        # A damaged length may be anything.
        return os.pread(self._file.fileno(), max(0, min(size, self.size - at)), min(at, self.size))

    def read(self, place: Place, size: int | None = None) -> bytes:
        """As :meth:`DataFile.read`."""
        chunk_at, at, length = place
        wanted = length if size is None else min(size, length)
        data = self._inside(chunk_at, at, wanted) if chunk_at >= 0 else self.pread(wanted, at)
        if len(data) != wanted:
            raise ValueError(f"{self.path.name} ends inside the message")
        return data

    def tail(self, place: Place, size: int) -> bytes:
        """As :meth:`DataFile.tail`."""
        chunk_at, at, length = place
        wanted = min(size, length)
        return self.read((chunk_at, at + length - wanted, wanted))

    def _inside(self, chunk_at: int, at: int, size: int) -> bytes:
        return self.chunk(chunk_at)[at : at + size]

    def chunk(self, chunk_at: int) -> bytes:
        """The decompressed content of a chunk; the newest few are kept.

        Raises:
            ValueError: it is damaged.
        """
        if chunk_at not in self._chunks:
            if len(self._chunks) >= KEPT_CHUNKS:
                self._chunks.pop(next(iter(self._chunks)))
            self._chunks[chunk_at] = self.decompressed(chunk_at)
        return self._chunks[chunk_at]

    @abstractmethod
    def decompressed(self, chunk_at: int) -> bytes:
        """Read and decompress the chunk whose record begins at ``chunk_at``.

        Raises:
            ValueError: it is damaged.
        """

    def start_ns(self) -> int:
        """As :meth:`DataFile.start_ns`."""
        return next((log_ns for _, log_ns, _ in self.scan()), 2**63)

    def close(self) -> None:
        """As :meth:`DataFile.close`."""
        self._file.close()
        self._chunks.clear()
