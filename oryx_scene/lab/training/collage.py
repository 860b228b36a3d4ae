"""Pictures put together from windows around marked things: many things for few patches.

Most of a room is floor and wall, so a tower that learns from whole pictures sees a thing only every
fifty patches, and four views of the same few. A collage shows a dozen things of two rooms in one
small picture. Windows begin at whole cells of the compressor and nothing is resized: every patch is
one that a camera picture has.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from oryx_scene.lab.synth.truth import ObjectTruth
from oryx_scene.lab.training.samples import Sample
from oryx_scene.marks.drawing import Disc
from oryx_scene.model.api import Stride
from oryx_scene.records import MarkSet, RgbImage

CELL = 32
# Side of the windows, then rows and columns of them.
LAYOUTS = ((64, 3, 4), (96, 2, 3))
NUMBERS = 9


@dataclass(frozen=True, eq=False)
class Window:
    """One thing with what is around it.

    Attributes:
        picture: (side, side, 3) uint8, nothing drawn.
        labels: (side, side) uint8 true ids.
        disc: of its mark, pixels of the window.
        sample: that it is from.
        object_id: of the thing.
    """

    picture: RgbImage
    labels: RgbImage
    disc: Disc
    sample: Sample
    object_id: int


def windows(sample: Sample, side: int) -> list[Window]:
    """A window around every mark whose thing fits into it."""
    found = []
    for view, discs in enumerate(sample.discs):
        for disc in discs:
            object_id = sample.objects.get(disc.number, 0)
            at = _corner(sample.labels[view] == object_id, side) if object_id else None
            if at is None or disc.leads_to is not None or not _inside(disc, at, side):
                continue
            top, left = at
            part = (view, slice(top, top + side), slice(left, left + side))
            moved = Disc(disc.number, disc.u - left, disc.v - top, disc.radius)
            found.append(
                Window(sample.pictures[part], sample.labels[part], moved, sample, object_id)
            )
    return found


def _corner(mask: np.ndarray, side: int) -> tuple[int, int] | None:
    """Top and left of a window at whole cells around ``mask``, None where none holds it."""
    found = []
    for axis, length in ((1, mask.shape[0]), (0, mask.shape[1])):
        where = np.flatnonzero(mask.any(axis=axis))
        if not len(where):
            return None
        first, last = int(where[0]), int(where[-1])
        middle = round(((first + last + 1) / 2 - side / 2) / CELL) * CELL
        start = min(max(middle, 0), (length - side) // CELL * CELL)
        if start < 0 or first < start or last >= start + side:
            return None
        found.append(start)
    return found[0], found[1]


def _inside(disc: Disc, at: tuple[int, int], side: int) -> bool:
    return 0 <= disc.v - at[0] < side and 0 <= disc.u - at[1] < side


def make_collages(
    samples: Sequence[Sample],
    rng: np.random.Generator,
    most: int,
    layout: tuple[int, int, int] | None = None,
) -> list[Sample]:
    """Pictures of things of several rooms, marked anew; fewer than ``most`` where few things fit.

    Args:
        samples: with pictures.
        rng: decides which things and which numbers.
        most: how many.
        layout: one of `LAYOUTS`, None to draw one.
    """
    layout = layout or LAYOUTS[int(rng.random() < 0.3)]
    found = [window for sample in samples for window in windows(sample, layout[0])]
    order = [found[int(i)] for i in rng.permutation(len(found))]
    size = layout[1] * layout[2]
    return [
        _put_together(order[first : first + size], layout, rng)
        for first in range(0, len(order) - size + 1, size)
    ][:most]


def _put_together(
    picked: Sequence[Window], layout: tuple[int, int, int], rng: np.random.Generator
) -> Sample:
    side, rows, columns = layout
    numbers = rng.permutation(np.arange(1, NUMBERS + 1)).tolist()
    picture = np.zeros((rows * side, columns * side, 3), np.uint8)
    labels = np.zeros((rows * side, columns * side), np.uint8)
    discs: list[Disc] = []
    objects: dict[int, int] = {}
    truth: dict[int, ObjectTruth] = {}
    for index, window in enumerate(picked):
        top, left = index // columns * side, index % columns * side
        part = (slice(top, top + side), slice(left, left + side))
        picture[part] = window.picture
        labels[part], named = _relabel(window, truth)
        if numbers:  # the rest shows things without a number
            number, disc = numbers.pop(), window.disc
            discs.append(Disc(number, disc.u + left, disc.v + top, disc.radius))
            objects[number] = named
    return dataclasses.replace(
        picked[0].sample,
        stride=Stride.VIDEO,
        pictures=picture[None],
        labels=labels[None],
        low_size=None,
        discs=(tuple(discs),),
        marks=MarkSet((), ()),
        objects=objects,
        truth=truth,
    )


def _relabel(window: Window, truth: dict[int, ObjectTruth]) -> tuple[RgbImage, int]:
    """Labels of a window under ids of the collage, and the id of its thing; fills ``truth``."""
    new = np.zeros_like(window.labels)
    named = 0
    for old in np.unique(window.labels):
        true = window.sample.truth.get(int(old))
        if true is None:
            continue
        object_id = len(truth) + 1
        truth[object_id] = dataclasses.replace(true, object_id=object_id)
        new[window.labels == old] = object_id
        if int(old) == window.object_id:
            named = object_id
    return new, named
