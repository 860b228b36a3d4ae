"""Decompression of chunks, messages and files of recordings; damage is a ValueError."""

from __future__ import annotations

import bz2
import shutil
from pathlib import Path
from typing import Any

from oryx_scene.file_kind import ZSTD_MAGIC


def _zstd() -> Any:
    """The zstd module that rosbags brings for this Python."""
    try:
        from compression import zstd  # type: ignore[import-not-found]
    except ImportError:
        from backports import zstd
    return zstd


def decompress(name: str, data: bytes) -> bytes:
    """Decompress a chunk.

    Args:
        name: as MCAP and ROS 1 spell it: "", "none", "bz2", "lz4", "zstd".
        data: the chunk.

    Raises:
        ValueError: unknown compression, or damaged.
    """
    if name in ("", "none"):
        return data
    try:
        if name == "zstd":
            return bytes(_zstd().decompress(data))
        if name == "bz2":
            return bz2.decompress(data)
        if name == "lz4":
            import lz4.frame  # type: ignore[import-untyped]

            return bytes(lz4.frame.decompress(data))
    except (OSError, RuntimeError, EOFError, _zstd().ZstdError) as err:
        raise ValueError(f"{name} data cannot be decompressed ({err})") from err
    raise ValueError(f"compressed with '{name}', which is not known")


def message_bytes(data: bytes) -> bytes:
    """A message as it was sent: rosbag2 may compress each on its own.

    No serialised message begins like zstd: CDR begins with a zero, and ROS 1's first field of a
    stamped message is a counter that never reaches that value.
    """
    return decompress("zstd", data) if data.startswith(ZSTD_MAGIC) else data


def decompress_file(source: Path, target: Path) -> None:
    """Decompress a whole zstd file onto disk.

    Raises:
        ValueError: damaged.
        OSError: the disk is full, or a file cannot be opened.
    """
    zstd = _zstd()
    try:
        with zstd.open(source, "rb") as packed, target.open("wb") as plain:
            shutil.copyfileobj(packed, plain, 1 << 20)
    except (EOFError, zstd.ZstdError) as err:
        raise ValueError(f"its zstd data is damaged ({err})") from err
