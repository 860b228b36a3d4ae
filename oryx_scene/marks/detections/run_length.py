"""Masks as run lengths, as COCO files hold them: plain lists of numbers, or packed into text.

Runs go down the columns, first of pixels outside the mask, then inside, in turn. Packed runs are
those of the COCO API (https://github.com/cocodataset/cocoapi, common/maskApi.c, rleFrString): six
bits a letter, and from the fourth run on the difference to the last run but one. Knows nothing of
detections; errors say what is wrong in words that fit after the name of the place.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

# Letters of packed runs begin here: "0".
_FIRST = 48
# A run longer than any picture is wrong, and must not fill the memory.
_MOST_PIXELS = 1 << 28
# Letters of one number: more than any picture needs.
_MOST_LETTERS = 7


@dataclass(frozen=True, eq=False)
class RunLengths:
    """One mask.

    Attributes:
        height, width: of the picture.
        runs: (n,) lengths down the columns, the first outside the mask; they fill the picture.
    """

    height: int
    width: int
    runs: NDArray[np.int64]

    @staticmethod
    def of(mask: NDArray[np.bool_]) -> RunLengths:
        """Of a mask (height, width)."""
        height, width = mask.shape
        down = np.concatenate([[False], mask.T.ravel()]).astype(np.int8)
        ends = [0, *np.flatnonzero(np.diff(down)).tolist(), mask.size]
        return RunLengths(height, width, np.diff(ends))

    @property
    def mask(self) -> NDArray[np.bool_]:
        """(height, width)."""
        inside = np.arange(len(self.runs)) % 2 == 1
        return np.repeat(inside, self.runs).reshape(self.width, self.height).T

    @property
    def box(self) -> tuple[float, float, float, float] | None:
        """(u0, v0, u1, v1) of the mask's pixels, inclusive; None where it is empty."""
        mask = self.mask
        rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
        if not rows.size:
            return None
        return float(columns[0]), float(rows[0]), float(columns[-1]), float(rows[-1])


def read_runs(size: object, counts: object) -> RunLengths:
    """The mask of COCO's ``size`` [height, width] and ``counts``: numbers, or packed text.

    Raises:
        ValueError: they are no mask, with the reason.
    """
    if not (isinstance(size, Sequence) and len(size) == 2 and all(map(_is_length, size))):
        raise ValueError("size must be [height, width]")
    height, width = size
    if not 0 < height * width <= _MOST_PIXELS:
        raise ValueError(f"no picture has {height} x {width} pixels")
    if isinstance(counts, str):
        runs = _unpacked(counts)
    elif isinstance(counts, list) and all(map(_is_length, counts)):
        runs = counts
    else:
        raise ValueError("counts must be packed text or a list of lengths")
    if min(runs, default=0) < 0 or sum(runs) != height * width:
        raise ValueError(f"the runs do not fill {height} x {width} pixels")
    return RunLengths(height, width, np.array(runs, dtype=np.int64))


def _is_length(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= _MOST_PIXELS


def _unpacked(text: str) -> list[int]:
    runs: list[int] = []
    value = letters = 0
    for letter in text:
        bits = ord(letter) - _FIRST
        if not 0 <= bits < 64 or letters == _MOST_LETTERS:
            raise ValueError("counts is no packed text of run lengths")
        value |= (bits & 0x1F) << (5 * letters)
        letters += 1
        if bits & 0x20:
            continue
        if bits & 0x10:
            # The last letter's highest bit is the sign.
            value -= 1 << (5 * letters)
        runs.append(value + runs[-2] if len(runs) > 2 else value)
        value = letters = 0
    if letters:
        raise ValueError("counts breaks off in the middle of a run")
    return runs
