"""What fills the image slots of a prompt: token counts in advance, and the views to encode.

No tensors here; the engine turns views into features.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from oryx_scene.errors import EngineError
from oryx_scene.model.api import Stride, VisualItem
from oryx_scene.model.oryx.resample import resize
from oryx_scene.model.sizes import image_tokens, pooled_grid, video_tokens
from oryx_scene.records import RgbImage


def count_visual_tokens(items: Sequence[VisualItem]) -> int:
    """Visual tokens of ``items``, counted before anything is encoded.

    Raises:
        BudgetError: a picture whose sides do not divide.
        EngineError: an item that is no two-view image and no video.
    """
    total = 0
    for item in items:
        sizes = {(int(image.shape[0]), int(image.shape[1])) for image in item.images}
        if len(sizes) != 1:
            raise EngineError(f"a slot holds pictures of {len(sizes)} sizes, one was expected.")
        height, width = sizes.pop()
        if item.stride is not Stride.IMAGE:
            total += video_tokens(len(item.images), height, width, item.stride)
        elif len(item.images) == 1 and item.low_size is not None:
            total += image_tokens((height, width), item.low_size)
        else:
            raise EngineError("a slot at 1x takes exactly one picture and its coarse size.")
    return total


@dataclass(frozen=True, eq=False)
class View:
    """One picture on its way to the tower.

    Attributes:
        image: (H, W, 3) uint8.
        stride: how strongly the compressor pools it.
        key: content key of picture, stride and coarse size together, "" = never cached.
        low_size: (height, width) of a coarse view, None for the picture itself.
    """

    image: RgbImage
    stride: Stride
    key: str
    low_size: tuple[int, int] | None = None

    @property
    def grid(self) -> tuple[int, int]:
        """(rows, columns) of visual tokens."""
        height, width = self.low_size or self.image.shape[:2]
        return pooled_grid(int(height), int(width), self.stride)

    def pixels(self) -> RgbImage:
        """What the tower sees."""
        return self.image if self.low_size is None else resize(self.image, self.low_size)


def views_of(item: VisualItem) -> list[View]:
    """The pictures of one slot in the order of encoding: an image's fine view, then its coarse."""
    keys = item.keys or ("",) * len(item.images)
    views = []
    for image, key in zip(item.images, keys, strict=True):
        own = f"{key}/{int(item.stride)}" if key else ""
        views.append(View(image, item.stride, own))
        if item.stride is Stride.IMAGE:
            low = f"{own}/{item.low_size}" if key else ""
            views.append(View(image, item.stride, low, item.low_size))
    return views
