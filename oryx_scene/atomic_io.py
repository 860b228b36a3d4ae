"""Files that never end half-written, and the byte forms of pictures and JSON."""

from __future__ import annotations

import errno
import io
import json
from pathlib import Path
from typing import Any

from PIL import Image
from PIL.PngImagePlugin import PngInfo

from oryx_scene.errors import OutputError


def write_bytes(path: Path, data: bytes) -> None:
    """Write ``data`` whole or not at all (temporary file beside it, then rename).

    Raises:
        OutputError: full disk, no permission, or the folder cannot be made.
    """
    part = path.with_name(path.name + ".part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        part.write_bytes(data)
        part.replace(path)
    except OSError as err:
        hint = "choose another --out"
        if err.errno in (errno.ENOSPC, errno.EDQUOT):
            hint = "free some space or choose another --out"
        raise OutputError(path, err.strerror or str(err), hint=hint) from err


def write_json(path: Path, value: Any) -> None:
    """Write ``value`` as indented, key-sorted, strict JSON."""
    text = json.dumps(value, indent=2, sort_keys=True, allow_nan=False, ensure_ascii=False)
    write_bytes(path, (text + "\n").encode("utf-8"))


def png_bytes(image: Any, caption: str = "") -> bytes:
    """(H, W, 3) uint8 RGB as PNG; ``caption`` is kept as its text "Description"."""
    buffer = io.BytesIO()
    words = PngInfo()
    if caption:
        words.add_text("Description", caption)
    Image.fromarray(image).save(buffer, format="PNG", pnginfo=words)
    return buffer.getvalue()
