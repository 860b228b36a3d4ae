"""The dynamic compressor: 1, 4 or 16 patch features become one visual token.

The mean of a cell asks the cell's own features what to add to it (region attention with 256-wide
queries and keys, values unprojected). At 1x the softmax runs over one key, so that the result is
exactly twice the feature.
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

KEY_WIDTH = 256


class DynamicCompressor(nn.Module):
    """Region attention pooling.

    Args:
        width: of the patch features.
        key_width: of queries and keys.
    """

    def __init__(self, width: int, key_width: int = KEY_WIDTH) -> None:
        super().__init__()
        self.vlm_query_projector = nn.Linear(width, key_width)
        self.vlm_key_projector = nn.Linear(width, key_width)

    def forward(self, features: Tensor, stride: int) -> Tensor:
        """Compress feature maps of equal size.

        Args:
            features: (B, rows, columns, width).
            stride: 1, 2 or 4; both sides divide by it.

        Returns:
            (B, rows / stride, columns / stride, width).
        """
        if stride == 1:
            # One key: its weight is exactly 1 whatever the projections say.
            return features + features
        batch, rows, columns, width = features.shape
        cells = features.view(batch, rows // stride, stride, columns // stride, stride, width)
        cells = cells.permute(0, 1, 3, 2, 4, 5).flatten(3, 4)  # (B, h, w, stride^2, width)
        pooled = _average(features, stride)  # (B, h, w, width)
        query = self.vlm_query_projector(pooled).unsqueeze(-2)  # (B, h, w, 1, key)
        key = self.vlm_key_projector(cells)  # (B, h, w, stride^2, key)
        scores = (query * key.shape[-1] ** -0.5) @ key.transpose(-1, -2)
        weights = F.softmax(scores, dim=-1)
        return pooled + (weights @ cells).squeeze(-2)


def _average(features: Tensor, stride: int) -> Tensor:
    """Mean over stride x stride cells, in the kernel that the reference uses (same rounding)."""
    pooled = F.avg_pool2d(features.permute(0, 3, 1, 2), kernel_size=stride, stride=stride)
    return pooled.permute(0, 2, 3, 1)
