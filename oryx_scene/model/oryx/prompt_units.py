"""A scene as a row of units, so that two scenes can be compared from the front.

A unit is what is computed as a whole: one text token, one frame of a video, one two-view image.
Equal keys mean equal embeddings; scenes whose first units are equal share the keys and values of
those tokens. No tensors but those that the model gives.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from oryx_scene.errors import EngineError
from oryx_scene.model.api import Stride, VisualItem
from oryx_scene.model.oryx.oryx import Oryx
from oryx_scene.model.oryx.prompt_layout import View, views_of
from oryx_scene.model.oryx.splice import PLACEHOLDER
from oryx_scene.model.sizes import image_tokens, video_tokens


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
    parts: list[Tensor] = []
    run: list[int] = []
    start = 0
    for unit in units:
        if isinstance(unit.key, int):
            run.append(unit.key)
            continue
        if run:
            parts.append(embed(torch.tensor(run)))
            run = []
        end = start + len(unit.views)
        parts.append(_project(unit, maps[start:end], model))
        start = end
    if run:
        parts.append(embed(torch.tensor(run)))
    return torch.cat(parts)


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
