"""MCAP files, record by record from front to back (https://mcap.dev/spec).

The readers at hand take the index at the end of a file, refuse the whole where it is missing or
where one schema is not of ROS 2, and read pictures to learn their stamps. Here the records
themselves are walked; the index only says how many messages there should have been.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from pathlib import Path

from oryx_scene.sources.bags.compression import decompress
from oryx_scene.sources.bags.data_file import Channel, ChunkedFile, Place

MAGIC = b"\x89MCAP0\r\n"
_FOOTER, _SCHEMA, _CHANNEL, _MESSAGE, _CHUNK, _STATISTICS = 2, 3, 4, 5, 6, 0x0B
_HEAD = struct.Struct("<BQ")
_MESSAGE_HEAD = struct.Struct("<HIQQ")
# Start, end, size, crc; then the name of the compression and the length of the records.
_CHUNK_HEAD = struct.Struct("<QQQI")


class _Fields:
    """The fields of a record, one after the other."""

    def __init__(self, data: bytes) -> None:
        self._data, self._at = data, 0

    def number(self, layout: str) -> int:
        (value,) = struct.unpack_from("<" + layout, self._data, self._at)
        self._at += struct.calcsize(layout)
        return int(value)

    def blob(self) -> bytes:
        size = self.number("I")
        value = self._data[self._at : self._at + size]
        if len(value) != size:
            raise ValueError("a record is shorter than it says")
        self._at += size
        return value

    def text(self) -> str:
        return self.blob().decode(errors="replace")


class McapFile(ChunkedFile):
    """One MCAP file."""

    repair = "copy it again, or close it with `mcap recover IN -o OUT`"

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self._schemas: dict[int, tuple[str, str, str]] = {}
        self._channels: dict[int, Channel] = {}

    def scan(self) -> Iterator[tuple[Channel, int, Place]]:
        """As :meth:`DataFile.scan`."""
        self.problems.clear()
        at, finished, count = len(MAGIC), False, 0
        while at + _HEAD.size <= self.size and not finished:
            op, length = _HEAD.unpack(self.pread(_HEAD.size, at))
            content = at + _HEAD.size
            if content + length > self.size and op != _CHUNK:
                break
            try:
                if op == _CHUNK:
                    for item in self._chunk_messages(at, length):
                        count += 1
                        yield item
                elif op == _MESSAGE:
                    yield from self._message(-1, content, length)
                    count += 1
                else:
                    self._describe(op, content, length)
            except (ValueError, struct.error) as err:
                self.damaged(f"{err}, at byte {at}")
            finished = op == _FOOTER
            at = content + length
        if finished and at + len(MAGIC) < self.size:
            self.damaged(f"{self.size - at - len(MAGIC)} bytes follow its end and were not read")
        if not finished:
            self.cut_off(f"the file ends after {count} messages without its closing record")

    def _describe(self, op: int, content: int, length: int) -> None:
        if op in (_SCHEMA, _CHANNEL, _STATISTICS):
            self._take(op, _Fields(self.pread(length, content)))

    def _take(self, op: int, fields: _Fields) -> None:
        if op == _SCHEMA:
            key = fields.number("H")
            self._schemas[key] = (fields.text(), fields.text(), fields.text())
        elif op == _CHANNEL:
            key, schema = fields.number("H"), fields.number("H")
            topic, encoding = fields.text(), fields.text()
            name, kind, text = self._schemas.get(schema, ("", "", ""))
            self._channels[key] = Channel(topic, ros2_name(name), encoding, text, kind)
        elif op == _STATISTICS:
            fields.number("Q")  # all messages
            for layout in "HIIII":  # schemas, channels, attachments, metadata, chunks
                fields.number(layout)
            fields.number("Q"), fields.number("Q")  # start, end
            self.counts = {}
            for key, number in struct.iter_unpack("<HQ", fields.blob()):
                channel = self._channels.get(key)
                if channel is not None:
                    both = (channel.topic, channel.msgtype)
                    self.counts[both] = self.counts.get(both, 0) + number

    def _message(
        self, chunk_at: int, content: int, length: int, head: bytes | None = None
    ) -> Iterator[tuple[Channel, int, Place]]:
        if length < _MESSAGE_HEAD.size:
            raise ValueError("a message without its header")
        raw = self.pread(_MESSAGE_HEAD.size, content) if head is None else head
        key, _, log_ns, _ = _MESSAGE_HEAD.unpack(raw)
        channel = self._channels.get(key)
        if channel is None:
            raise ValueError(f"a message of channel {key}, which is not described")
        size = _MESSAGE_HEAD.size
        yield channel, log_ns, (chunk_at, content + size, length - size)

    # -- chunks --------------------------------------------------------------------------------

    def _chunk_fields(self, chunk_at: int) -> tuple[str, int, int, int, int]:
        """(compression, crc, size of the content, offset of the records, their length)."""
        at = chunk_at + _HEAD.size
        head = self.pread(_CHUNK_HEAD.size + 4 + 64, at)
        _, _, size, crc = _CHUNK_HEAD.unpack_from(head)
        (letters,) = struct.unpack_from("<I", head, _CHUNK_HEAD.size)
        name_at = _CHUNK_HEAD.size + 4
        (length,) = struct.unpack_from("<Q", head, name_at + letters)
        name = head[name_at : name_at + letters].decode(errors="replace")
        return name, crc, size, at + name_at + letters + 8, length

    def decompressed(self, chunk_at: int) -> bytes:
        """As :meth:`ChunkedFile.decompressed`."""
        name, crc, size, begin, length = self._chunk_fields(chunk_at)
        packed = self.pread(length, begin)
        if len(packed) != length:
            raise ValueError("a chunk is cut off")
        data = decompress(name, packed)
        if len(data) != size or (crc and zlib.crc32(data) != crc):
            raise ValueError("a chunk does not have its checksum")
        return data

    def _chunk_messages(
        self, chunk_at: int, record_length: int
    ) -> Iterator[tuple[Channel, int, Place]]:
        name, crc, _, begin, length = self._chunk_fields(chunk_at)
        if name:
            yield from self._walk(chunk_at, 0, self.chunk(chunk_at))
            return
        end = min(begin + length, self.size)
        if crc and chunk_at + _HEAD.size + record_length <= self.size:
            # Read once for the checksum; messages are then taken from the file without the chunk.
            yield from self._walk(-1, begin, self.decompressed(chunk_at))
            return
        at = begin
        while at + _HEAD.size <= end:
            head = self.pread(_HEAD.size + _MESSAGE_HEAD.size, at)
            op, size = _HEAD.unpack_from(head)
            content = at + _HEAD.size
            if content + size > end:
                return
            if op == _MESSAGE:
                yield from self._message(-1, content, size, head[_HEAD.size :])
            else:
                self._describe(op, content, size)
            at = content + size

    def _walk(self, chunk_at: int, begin: int, data: bytes) -> Iterator[tuple[Channel, int, Place]]:
        """Records of a chunk in memory; ``begin`` is where its first byte lies for a place."""
        at = 0
        while at + _HEAD.size <= len(data):
            op, size = _HEAD.unpack_from(data, at)
            content = at + _HEAD.size
            if op == _MESSAGE:
                head = data[content : content + _MESSAGE_HEAD.size]
                yield from self._message(chunk_at, begin + content, size, head)
            elif op in (_SCHEMA, _CHANNEL):
                self._take(op, _Fields(data[content : content + size]))
            at = content + size


def ros2_name(msgtype: str) -> str:
    """ROS 1 says "sensor_msgs/Image" where ROS 2 says "sensor_msgs/msg/Image"."""
    package, slash, name = msgtype.partition("/")
    return f"{package}/msg/{name}" if slash and "/" not in name else msgtype
