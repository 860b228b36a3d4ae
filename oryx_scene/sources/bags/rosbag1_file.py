"""ROS 1 bags of format 2.0, record by record from front to back (http://wiki.ros.org/Bags/Format/2.0).

The index at the end is not needed: a `.bag.active` that a killed recorder left is read as far as
it goes.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path

from oryx_scene.file_kind import file_kind
from oryx_scene.sources.bags.compression import decompress
from oryx_scene.sources.bags.data_file import Channel, ChunkedFile, Place
from oryx_scene.sources.bags.mcap_file import ros2_name

MAGIC = b"#ROSBAG V2.0\n"
_MESSAGE, _HEADER, _CHUNK, _CHUNK_INFO, _CONNECTION = 2, 3, 5, 6, 7
# Longer headers are damage: topics and types are far shorter.
_LONGEST_HEADER = 1 << 20


def _fields(data: bytes) -> dict[str, bytes]:
    """`name=value` fields, each after its length."""
    found, at = {}, 0
    while at + 4 <= len(data):
        (size,) = struct.unpack_from("<I", data, at)
        name, sign, value = data[at + 4 : at + 4 + size].partition(b"=")
        if not sign or at + 4 + size > len(data):
            raise ValueError("a record's header is damaged")
        found[name.decode(errors="replace")] = value
        at += 4 + size
    return found


def _number(fields: dict[str, bytes], name: str) -> int:
    if name not in fields:
        raise ValueError(f"a record lacks its field '{name}'")
    return int.from_bytes(fields[name], "little")


class Rosbag1File(ChunkedFile):
    """One ROS 1 bag."""

    repair = "copy it again, or write its index with `rosbag reindex IN`"

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self._channels: dict[int, Channel] = {}
        self._stated: dict[int, int] = {}

    def scan(self) -> Iterator[tuple[Channel, int, Place]]:
        """As :meth:`DataFile.scan`."""
        self.problems.clear()
        self._stated.clear()
        at, count = len(MAGIC), 0
        try:
            while at < self.size:
                fields, begin, length = self._record(at)
                op = _number(fields, "op")
                for item in self._messages(at, op, fields, begin, length):
                    count += 1
                    yield item
                at = begin + length
            if at > self.size:
                raise ValueError("the file ends inside a chunk")
        except (ValueError, struct.error) as err:
            self.cut_off(f"{err}: reading stopped at byte {at} after {count} messages")
        else:
            self._say_whether_finished(count)
        if self._stated:
            self.counts = {}
            for key, number in self._stated.items():
                if key in self._channels:
                    name = (self._channels[key].topic, self._channels[key].msgtype)
                    self.counts[name] = self.counts.get(name, 0) + number

    def _say_whether_finished(self, count: int) -> None:
        if file_kind(self.path).name == "unfinished rosbag1":
            self.cut_off(
                f"the recorder was killed before it wrote the index, after {count} messages"
            )

    def _messages(
        self, at: int, op: int, fields: dict[str, bytes], begin: int, length: int
    ) -> Iterator[tuple[Channel, int, Place]]:
        if op == _CHUNK:
            yield from self._chunk_messages(at, fields, begin, length)
        elif op == _MESSAGE:
            yield self._message(-1, fields, begin, length)
        elif op == _CONNECTION:
            self._connection(fields, self.pread(length, begin))
        elif op == _CHUNK_INFO:
            for key, number in struct.iter_unpack("<II", self.pread(length, begin)):
                self._stated[key] = self._stated.get(key, 0) + number

    def _record(self, at: int) -> tuple[dict[str, bytes], int, int]:
        """(header fields, offset of the data, its length) of the record at ``at`` in the file."""
        (size,) = struct.unpack("<I", self.pread(4, at))
        if size > _LONGEST_HEADER:
            raise ValueError("a record's header is damaged")
        head = self.pread(size + 4, at + 4)
        if len(head) != size + 4:
            raise ValueError("the file ends inside a record")
        (length,) = struct.unpack_from("<I", head, size)
        begin, fields = at + 8 + size, _fields(head[:size])
        # Of a chunk that is cut off, the whole messages are read.
        if begin + length > self.size and fields.get("compression") != b"none":
            raise ValueError("the file ends inside a record")
        return fields, begin, length

    def _connection(self, fields: dict[str, bytes], data: bytes) -> None:
        inner = _fields(data)
        text = {name: value.decode(errors="replace") for name, value in inner.items()}
        topic = fields.get("topic", b"").decode(errors="replace")
        self._channels[_number(fields, "conn")] = Channel(
            # rosbag writes some topics with doubled slashes.
            "/" * topic.startswith("/") + "/".join(part for part in topic.split("/") if part),
            ros2_name(text.get("type", "")),
            "ros1",
            text.get("message_definition", ""),
            "ros1msg",
        )

    def _message(
        self, chunk_at: int, fields: dict[str, bytes], begin: int, length: int
    ) -> tuple[Channel, int, Place]:
        key = _number(fields, "conn")
        if key not in self._channels:
            raise ValueError(f"a message of connection {key}, which is not described")
        seconds, nanoseconds = struct.unpack("<II", fields.get("time", b""))
        log_ns = seconds * 1_000_000_000 + nanoseconds
        return self._channels[key], log_ns, (chunk_at, begin, length)

    # -- chunks --------------------------------------------------------------------------------

    def decompressed(self, chunk_at: int) -> bytes:
        """As :meth:`ChunkedFile.decompressed`."""
        fields, begin, length = self._record(chunk_at)
        name = fields.get("compression", b"none").decode(errors="replace")
        data = decompress(name, self.pread(length, begin))
        if len(data) != _number(fields, "size"):
            raise ValueError("a chunk has another size than it says")
        return data

    def _chunk_messages(
        self, chunk_at: int, fields: dict[str, bytes], begin: int, length: int
    ) -> Iterator[tuple[Channel, int, Place]]:
        try:
            if fields.get("compression", b"none") == b"none":
                # Messages are taken from the file without the chunk.
                yield from self._walk(-1, begin, self.pread(length, begin))
            else:
                yield from self._walk(chunk_at, 0, self.chunk(chunk_at))
        except (ValueError, struct.error) as err:
            # The next chunk is found by this one's length.
            self.damaged(f"{err}, in the chunk at byte {chunk_at}")

    def _walk(
        self, chunk_at: int, offset: int, data: bytes
    ) -> Iterator[tuple[Channel, int, Place]]:
        """Records of a chunk in memory; ``offset`` is where its first byte lies for a place."""
        at = 0
        while at < len(data):
            (size,) = struct.unpack_from("<I", data, at)
            fields = _fields(data[at + 4 : at + 4 + size])
            (length,) = struct.unpack_from("<I", data, at + 4 + size)
            begin = at + 8 + size
            op = _number(fields, "op")
            if begin + length > len(data):
                raise ValueError("the file ends inside a record")
            if op == _CONNECTION:
                self._connection(fields, data[begin : begin + length])
            elif op == _MESSAGE:
                yield self._message(chunk_at, fields, offset + begin, length)
            at = begin + length
