"""The projector: compressed features to the language model's width, with the four layout vectors.

A picture is written row by row with a newline vector after each row; a separator stands between the
coarse and the fine view of an image, and after every frame of a video; begin and end enclose the
whole slot. The order is a contract with the weights.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn


class Projector(nn.Module):
    """Linear, GELU, Linear, and the layout of one slot.

    Args:
        vision_width: of the compressed features.
        hidden_size: of the language model.
    """

    def __init__(self, vision_width: int, hidden_size: int) -> None:
        super().__init__()
        self.proj = nn.Sequential(
            nn.Linear(vision_width, hidden_size), nn.GELU(), nn.Linear(hidden_size, hidden_size)
        )
        self.image_newline = nn.Parameter(torch.zeros(hidden_size))
        self.image_begin = nn.Parameter(torch.zeros(hidden_size))
        self.image_end = nn.Parameter(torch.zeros(hidden_size))
        self.image_sep = nn.Parameter(torch.zeros(hidden_size))

    def rows(self, features: Tensor) -> Tensor:
        """(rows, columns, vision_width) -> (rows * (columns + 1), hidden_size)."""
        projected = self.proj(features)
        newline = self.image_newline.expand(projected.shape[0], 1, -1)
        return torch.cat([projected, newline], dim=1).flatten(0, 1)

    def image(self, low: Tensor, high: Tensor) -> Tensor:
        """One two-view image: (tokens, hidden_size) from (rows, columns, vision_width) each."""
        return torch.cat(
            [
                self.image_begin[None],
                self.rows(low),
                self.image_sep[None],
                self.rows(high),
                self.image_end[None],
            ]
        )

    def video(self, frames: Sequence[Tensor]) -> Tensor:
        """One video: (tokens, hidden_size) from (rows, columns, vision_width) per frame."""
        return self.assemble_video([self.rows(frame) for frame in frames])

    def video_frame(self, frame: Tensor) -> Tensor:
        """One frame of a video with its separator: (tokens, hidden_size)."""
        return torch.cat([self.rows(frame), self.image_sep[None]])

    def assemble_video(self, rows: Sequence[Tensor]) -> Tensor:
        """One video from frames that :meth:`rows` has already projected."""
        parts = [self.image_begin[None]]
        for frame in rows:
            parts += [frame, self.image_sep[None]]
        return torch.cat([*parts, self.image_end[None]])
