"""OryxViT: a SigLIP-like vision transformer at native resolution, over packed pictures.

Contracts with the published weights (arXiv 2409.12961): patch 16, a square learned position grid
resized bilinearly to each picture's patch grid, pre-norm blocks with eps 1e-6, exact GELU, no class
token and NO final norm. Knows pixels and features only.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from oryx_scene.model.oryx.attention import packed_attention


@dataclass(frozen=True)
class VisionConfig:
    """Sizes of the tower; the defaults are those of THUdyh/Oryx-ViT (SigLIP so400m, patch 16)."""

    width: int = 1152
    depth: int = 27
    heads: int = 16
    mlp_hidden: int = 4304
    patch: int = 16
    position_grid: int = 128


class Attention(nn.Module):
    """Multi-head self-attention over packed pictures, one fused qkv projection with bias."""

    def __init__(self, config: VisionConfig) -> None:
        super().__init__()
        self.heads = config.heads
        self.qkv = nn.Linear(config.width, 3 * config.width)
        self.proj = nn.Linear(config.width, config.width)

    def forward(self, x: Tensor, lengths: Sequence[int]) -> Tensor:
        """(tokens, width) -> (tokens, width)."""
        qkv = self.qkv(x).unflatten(-1, (3, self.heads, -1))  # (tokens, 3, heads, head_dim)
        q, k, v = qkv.unbind(1)
        mixed = packed_attention(q, k, v, lengths)
        projected: Tensor = self.proj(mixed.flatten(1))
        return projected


class Mlp(nn.Module):
    """Linear, exact GELU, Linear."""

    def __init__(self, config: VisionConfig) -> None:
        super().__init__()
        self.fc1 = nn.Linear(config.width, config.mlp_hidden)
        self.fc2 = nn.Linear(config.mlp_hidden, config.width)

    def forward(self, x: Tensor) -> Tensor:
        """(tokens, width) -> (tokens, width)."""
        out: Tensor = self.fc2(F.gelu(self.fc1(x)))
        return out


class Block(nn.Module):
    """Pre-norm transformer block."""

    def __init__(self, config: VisionConfig) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(config.width, eps=1e-6)
        self.attn = Attention(config)
        self.norm2 = nn.LayerNorm(config.width, eps=1e-6)
        self.mlp = Mlp(config)

    def forward(self, x: Tensor, lengths: Sequence[int]) -> Tensor:
        """(tokens, width) -> (tokens, width)."""
        x = x + self.attn(self.norm1(x), lengths)
        out: Tensor = x + self.mlp(self.norm2(x))
        return out


class PatchEmbed(nn.Module):
    """Non-overlapping patches to vectors."""

    def __init__(self, config: VisionConfig) -> None:
        super().__init__()
        self.proj = nn.Conv2d(3, config.width, config.patch, stride=config.patch)

    def forward(self, pixels: Tensor) -> Tensor:
        """(B, 3, H, W) -> (B, H/16 * W/16, width), row by row."""
        out: Tensor = self.proj(pixels).flatten(2).transpose(1, 2)
        return out


class OryxViT(nn.Module):
    """The vision tower.

    Args:
        config: sizes.
    """

    def __init__(self, config: VisionConfig) -> None:
        super().__init__()
        self.config = config
        self.patch_embed = PatchEmbed(config)
        self.pos_embed = nn.Parameter(torch.zeros(1, config.position_grid**2, config.width))
        self.blocks = nn.ModuleList(Block(config) for _ in range(config.depth))

    def positions(self, rows: int, columns: int) -> Tensor:
        """Position vectors of a (rows, columns) grid: (rows * columns, width).

        Bilinear without antialias and without aligned corners, as the weights were trained.
        """
        grid = self.config.position_grid
        if rows == grid and columns == grid:
            return self.pos_embed[0]
        # A channels-last view: interpolating it is two orders of magnitude faster than the
        # contiguous layout and gives the same bits.
        table = self.pos_embed.view(1, grid, grid, -1).permute(0, 3, 1, 2)
        resized = F.interpolate(
            table.float(), size=(rows, columns), mode="bilinear", align_corners=False
        )
        return resized.to(self.pos_embed.dtype).permute(0, 2, 3, 1).flatten(0, 2)

    def embed(self, pictures: Sequence[Tensor]) -> tuple[Tensor, list[tuple[int, int]]]:
        """Pack pictures: patches plus positions.

        Args:
            pictures: (3, H, W) each, normalised, sides multiples of 16.

        Returns:
            (tokens, width) and the (rows, columns) of each picture.
        """
        patch = self.config.patch
        grids = [(p.shape[1] // patch, p.shape[2] // patch) for p in pictures]
        packed: list[Tensor] = []
        start = 0
        while start < len(pictures):
            # Neighbours of equal size share one convolution.
            end = start + 1
            while end < len(pictures) and pictures[end].shape == pictures[start].shape:
                end += 1
            patches = self.patch_embed(torch.stack(list(pictures[start:end])))
            packed.append((patches + self.positions(*grids[start])).flatten(0, 1))
            start = end
        return torch.cat(packed), grids

    def forward(
        self, pictures: Sequence[Tensor], check: Callable[[], None] = lambda: None
    ) -> list[Tensor]:
        """Features of every picture: (rows * columns, width) each, in the order given.

        ``check`` is called before each block; what it raises ends the pass.
        """
        x, grids = self.embed(pictures)
        lengths = [rows * columns for rows, columns in grids]
        for block in self.blocks:
            check()
            x = block(x, lengths)
        return list(x.split(lengths))
