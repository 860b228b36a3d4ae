"""How the scene part of a prompt is laid out: what fills its image slots, as a row of units.

A unit is what is computed as a whole: one text token, one frame of a video, one two-view image.
Equal keys mean equal embeddings; scenes whose first units are equal share the keys and values of
those tokens. Tokens are counted before anything is encoded; the engine turns views into features.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import dataclass

from torch import Tensor

from oryx_scene.errors import EngineError
from oryx_scene.model.api import Stride, VisualItem
from oryx_scene.model.oryx.oryx import Oryx
from oryx_scene.model.oryx.resample import resize
from oryx_scene.model.oryx.splice import PLACEHOLDER, embed_parts
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


@dataclass(frozen=True, eq=False)
class Unit:
    """One indivisible piece of a scene.

    Attributes:
        key: equal for equal embeddings, None for a picture that has no content key.
        tokens: how many it takes.
        views: pictures that must be encoded for it.
    """

    key: Hashable
    tokens: int
    views: tuple[View, ...] = ()


def units_of(ids: Sequence[int], items: Sequence[VisualItem]) -> list[Unit]:
    """The units of a prompt's shared part.

    Args:
        ids: token ids, ``PLACEHOLDER`` where an item goes.
        items: one per placeholder, in order; their sizes were checked before.

    Raises:
        EngineError: placeholders and items differ in number.
    """
    wanted = sum(1 for token in ids if token == PLACEHOLDER)
    if wanted != len(items):
        raise EngineError(f"the prompt has {wanted} image slots, {len(items)} were given.")
    remaining = iter(items)
    units: list[Unit] = []
    for token in ids:
        if token == PLACEHOLDER:
            units += _slot(next(remaining))
        else:
            units.append(Unit(token, 1))
    return units


def _slot(item: VisualItem) -> Iterator[Unit]:
    views = views_of(item)
    if item.stride is Stride.IMAGE:
        (height, width), low = item.images[0].shape[:2], item.low_size
        assert low is not None
        keys = tuple(view.key for view in views)
        yield Unit(keys if all(keys) else None, image_tokens((height, width), low), tuple(views))
        return
    yield Unit("begin", 1)
    for view in views:
        height, width = view.image.shape[:2]
        # Begin and end of the slot are units of their own.
        tokens = video_tokens(1, height, width, item.stride) - 2
        yield Unit((view.key, view.grid) if view.key else None, tokens, (view,))
    yield Unit("end", 1)


def common_units(one: Sequence[Unit], other: Sequence[Unit]) -> int:
    """How many first units are equal."""
    count = 0
    for mine, yours in zip(one, other, strict=False):
        if mine.key is None or mine.key != yours.key or mine.tokens != yours.tokens:
            break
        count += 1
    return count


@dataclass(frozen=True, eq=False)
class SceneLayout:
    """The scene part of a prompt, laid out once for all questions about it.

    Attributes:
        system, scene: of the prompt.
        ids: of both, ``PLACEHOLDER`` per visual item.
        units: what the scene is made of.
        visual_tokens: how many of its tokens are visual.
    """

    system: str
    scene: tuple[str | VisualItem, ...]
    ids: tuple[int, ...]
    units: tuple[Unit, ...]
    visual_tokens: int

    @functools.cached_property
    def tokens(self) -> int:
        """Tokens of the scene, text and visual."""
        return sum(unit.tokens for unit in self.units)

    @functools.cached_property
    def keyed(self) -> bool:
        """Whether every picture has a content key."""
        return all(unit.key is not None for unit in self.units)

    def equals(self, other: SceneLayout) -> bool:
        """Whether both are made of the same units, pictures by their content keys."""
        return len(self.units) == len(other.units) == common_units(self.units, other.units)


def layout_of(system: str, scene: tuple[str | VisualItem, ...], ids: Sequence[int]) -> SceneLayout:
    """Lay out a scene.

    Args:
        system, scene: of the prompt.
        ids: of both, ``PLACEHOLDER`` per visual item.

    Raises:
        BudgetError, EngineError: as :func:`count_visual_tokens` and :func:`units_of`.
    """
    items = [part for part in scene if isinstance(part, VisualItem)]
    visual = count_visual_tokens(items)
    return SceneLayout(system, scene, tuple(ids), tuple(units_of(ids, items)), visual)


def embed_units(
    units: Sequence[Unit], maps: Sequence[Tensor], model: Oryx, embed: Callable[[Tensor], Tensor]
) -> Tensor:
    """Embeddings of ``units``: (tokens, hidden_size).

    Args:
        units: consecutive ones.
        maps: compressed features of all their views, in order.
        model: whose projector lays the features out.
        embed: token ids (n,) to embeddings.

    Raises:
        EngineError: a picture came out with another number of tokens than was predicted.
    """
    remaining = iter(maps)
    parts: list[int | Tensor] = []
    for unit in units:
        if isinstance(unit.key, int):
            parts.append(unit.key)
        else:
            own = [next(remaining) for _ in unit.views]
            parts.append(_project(unit, own, model))
    return embed_parts(parts, embed)


def _project(unit: Unit, maps: Sequence[Tensor], model: Oryx) -> Tensor:
    projector = model.projector
    if unit.key == "begin":
        return projector.image_begin[None]
    if unit.key == "end":
        return projector.image_end[None]
    if len(maps) == 1:
        tokens = projector.video_frame(maps[0])
    else:
        tokens = projector.image(low=maps[1], high=maps[0])
    if tokens.shape[0] != unit.tokens:
        raise EngineError(
            f"a picture came out as {tokens.shape[0]} visual tokens, {unit.tokens} were predicted.",
            hint="the sizes module and the model disagree; please report this",
        )
    return tokens
