"""The assembled Oryx model: vision tower, compressor, projector and language model.

Three named stages, timed and cached apart by the engine: `encode` (pixels to compressed features),
`project` (features to one slot's visual tokens), and the language model's own forward. The shape of
the prompt is decided elsewhere (`splice`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from oryx_scene.errors import EngineError
from oryx_scene.model.api import Stride
from oryx_scene.model.oryx.compressor import DynamicCompressor
from oryx_scene.model.oryx.projector import Projector
from oryx_scene.model.oryx.vision import OryxViT, VisionConfig
from oryx_scene.model.sizes import image_tokens, video_tokens


class Oryx(nn.Module):
    """Oryx for inference and training.

    Args:
        vision: sizes of the vision tower.
        language: a Qwen2 or Llama causal language model of transformers.
        hidden_size: width of the language model.
    """

    def __init__(self, vision: VisionConfig, language: nn.Module, hidden_size: int) -> None:
        super().__init__()
        self.vision = OryxViT(vision)
        self.compressor = DynamicCompressor(vision.width)
        self.projector = Projector(vision.width, hidden_size)
        self.language: Any = language
        # False for checkpoints tuned on single images only: they can be shown pictures at 1x.
        self.compressor_trained = True

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return self.projector.image_begin.device

    @property
    def dtype(self) -> torch.dtype:
        """Precision of the vision tower and projector."""
        return self.projector.image_begin.dtype

    def encode(
        self,
        pictures: Sequence[Tensor],
        strides: Sequence[Stride],
        check: Callable[[], None] = lambda: None,
    ) -> list[Tensor]:
        """Compressed features of pictures, all in one packed pass through the tower.

        Args:
            pictures: (3, H, W) normalised, sides multiples of 16 * stride.
            strides: pooling of each picture.
            check: called before each block of the tower; what it raises ends the pass.

        Returns:
            (rows, columns, width) per picture, after pooling.
        """
        if not self.compressor_trained and any(stride != Stride.IMAGE for stride in strides):
            raise EngineError(
                "this checkpoint brings no compressor (mm_resampler_type is null): it can be shown "
                "pictures at 1x only.",
                hint="ask with compression 1, or use a checkpoint trained on video",
            )
        patch = self.vision.config.patch
        inputs = [picture.to(self.device, self.dtype) for picture in pictures]
        features = self.vision(inputs, check)
        maps = [
            feature.view(1, picture.shape[1] // patch, picture.shape[2] // patch, -1)
            for feature, picture in zip(features, pictures, strict=True)
        ]
        return self._compress(maps, strides)

    def _compress(self, maps: Sequence[Tensor], strides: Sequence[Stride]) -> list[Tensor]:
        groups: dict[tuple[torch.Size, int], list[int]] = {}
        for index, (one, stride) in enumerate(zip(maps, strides, strict=True)):
            groups.setdefault((one.shape, int(stride)), []).append(index)
        out: list[Tensor] = [maps[0]] * len(maps)
        for (_, side), members in groups.items():
            pooled = self.compressor(torch.cat([maps[index] for index in members]), side)
            for index, one in zip(members, pooled.unbind(0), strict=True):
                out[index] = one
        return out

    def embed_text(self, ids: Tensor) -> Tensor:
        """Token ids to embeddings."""
        embedded: Tensor = self.language.get_input_embeddings()(ids)
        return embedded

    def project_image(self, low: Tensor, high: Tensor) -> Tensor:
        """Visual tokens of one two-view image: (tokens, hidden_size)."""
        tokens = self.projector.image(low, high)
        sizes = [tuple(16 * side for side in one.shape[:2]) for one in (high, low)]
        _check_count(tokens, image_tokens((sizes[0][0], sizes[0][1]), (sizes[1][0], sizes[1][1])))
        return tokens

    def project_video(self, frames: Sequence[Tensor], stride: Stride) -> Tensor:
        """Visual tokens of one video: (tokens, hidden_size)."""
        tokens = self.projector.video(frames)
        rows, columns = frames[0].shape[:2]
        cell = 16 * int(stride)
        _check_count(tokens, video_tokens(len(frames), rows * cell, columns * cell, stride))
        return tokens


def _check_count(tokens: Tensor, predicted: int) -> None:
    if tokens.shape[0] != predicted:
        raise EngineError(
            f"a slot came out as {tokens.shape[0]} visual tokens, {predicted} were predicted.",
            hint="the sizes module and the model disagree; please report this",
        )
