"""From received pictures to prepared ones: moved to their placement, marks drawn afterwards.

Marks are drawn after the resize so that a digit is as sharp as the model can see it. What is drawn
where is decided elsewhere; the caller hands in a function that paints one prepared picture.
"""

from __future__ import annotations

import hashlib

import numpy as np
from PIL import Image

from oryx_scene.records import RgbImage
from oryx_scene.scene.placement import Placement

# Mid grey becomes 0 after normalisation: padding that says as little as possible.
PADDING_VALUE = 128


def move_to_placement(rgb: RgbImage, placement: Placement) -> RgbImage:
    """Resize (PIL bicubic, as the reference does) and pad ``rgb`` as ``placement`` says.

    Args:
        rgb: (source_height, source_width, 3) uint8.
        placement: where it goes.

    Returns:
        (height, width, 3) uint8, a new array.
    """
    # PIL counts (width, height).
    size = (placement.content_width, placement.content_height)
    if size == (rgb.shape[1], rgb.shape[0]):
        # PIL would copy it, too, but more than once.
        content = np.ascontiguousarray(rgb)
    else:
        picture = Image.fromarray(np.ascontiguousarray(rgb))
        content = np.asarray(picture.resize(size, Image.Resampling.BICUBIC), dtype=np.uint8)
    if not placement.padded:
        return content.copy()
    prepared = np.full((placement.height, placement.width, 3), PADDING_VALUE, dtype=np.uint8)
    bottom = placement.top + placement.content_height
    right = placement.left + placement.content_width
    prepared[placement.top : bottom, placement.left : right] = content
    return prepared


def content_key(image: RgbImage) -> str:
    """Key of a prepared picture: same key, same pixels (sha256 over shape and bytes)."""
    digest = hashlib.sha256(repr(image.shape).encode())
    digest.update(np.ascontiguousarray(image).data)
    return digest.hexdigest()
