"""Unpacking the tiles of torch's int4 layout on CUDA, which torch itself offers no way back from.

The layout moves 4-bit codes about within tiles of 8 outputs by 128 inputs. Where each code lands is
found by packing one tile's own indices, digit by digit, and is checked on real weights by the
caller; nothing about the layout is assumed but the size of the tile.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

ROWS, COLUMNS = 8, 128


@dataclass(frozen=True)
class TileOrder:
    """``place[i]``: where code i of a tile (row by row) lies among the packed tile's codes."""

    place: Tensor

    @classmethod
    def of(cls, pack: Callable[[Tensor], Tensor], device: torch.device) -> TileOrder | None:
        """Find the order of ``pack`` ((outputs, inputs) codes -> packed); None if it has none."""
        index = torch.arange(ROWS * COLUMNS, device=device)
        packed = [
            nibbles_of(pack(((index >> shift) & 15).to(torch.uint8).view(ROWS, COLUMNS)))
            for shift in (0, 4, 8)
        ]
        source = packed[0].long() | (packed[1].long() << 4) | (packed[2].long() << 8)
        if sorted(source.tolist()) != list(range(ROWS * COLUMNS)):
            return None
        return cls(torch.argsort(source))

    def unpack(self, packed: Tensor, start: int, end: int) -> Tensor:
        """Codes (end - start, inputs) of outputs that are multiples of 8.

        Args:
            packed: (outputs / 8, inputs / 128, ...), whole tiles along the first two axes.
            start, end: outputs.
        """
        tiles = packed[start // ROWS : -(-end // ROWS)]
        codes = nibbles_of(tiles).view(tiles.shape[0], tiles.shape[1], -1)[..., self.place]
        whole: Tensor = codes.unflatten(2, (ROWS, COLUMNS)).transpose(1, 2).flatten(2).flatten(0, 1)
        return whole[: end - start]

    def restores(self, codes: Tensor, packed: Tensor) -> bool:
        """Whether unpacking gives ``codes`` back."""
        return torch.equal(self.unpack(packed, 0, codes.shape[0]), codes)


def nibbles_of(packed: Tensor) -> Tensor:
    """All 4-bit codes of a packed tensor in the order of memory, the low half of a byte first."""
    flat = packed.contiguous().view(torch.uint8).flatten()
    return torch.stack((flat & 15, flat >> 4), 1).flatten()
