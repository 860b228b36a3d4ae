"""Detections as records, and their file: COCO's layout with a camera and stamp per image.

Any detector that can write boxes can be used; docs/detections.md shows the file. Knows nothing of
depth or marks.
"""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from oryx_scene.errors import SourceError
from oryx_scene.geometry.turning import turned_pixels
from oryx_scene.marks.detections.run_length import RunLengths, read_runs
from oryx_scene.records import Frame

Box = tuple[float, float, float, float]


@dataclass(frozen=True, eq=False)
class Detection:
    """One object that a detector saw in one picture.

    Attributes:
        camera: of the frame, as in ``Frame.camera``.
        stamp_ns: capture time of the picture.
        box: (u0, v0, u1, v1) pixels of the received picture, inclusive.
        label: what the detector calls it, "" if nothing.
        score: 0..1.
        polygons: outlines, each (n, 2) received pixels; () where they are not known.
        runs: the mask as run lengths, None where it is not known so; it wins over ``polygons``.
    """

    camera: str
    stamp_ns: int
    box: Box
    label: str = ""
    score: float = 1.0
    polygons: tuple[NDArray[np.float64], ...] = ()
    runs: RunLengths | None = None

    @property
    def outlined(self) -> bool:
        """Whether more than the box is known."""
        return bool(self.polygons) or self.runs is not None

    def mask(self, height: int, width: int) -> NDArray[np.bool_]:
        """(height, width) pixels of the mask, else inside the outlines, else inside the box.

        Raises:
            SourceError: the mask is one of pictures of another size.
        """
        if self.runs is not None:
            if (self.runs.height, self.runs.width) != (height, width):
                raise SourceError(
                    f"detection of camera '{self.camera}' at {self.stamp_ns} ns",
                    f"its mask is {self.runs.width}x{self.runs.height} pixels, the received "
                    f"picture {width}x{height}.",
                    hint="run the detector on the pictures as they were received",
                )
            return self.runs.mask
        canvas = np.zeros((height, width), np.uint8)
        if self.polygons:
            outlines = [np.rint(polygon).astype(np.int32) for polygon in self.polygons]
            cv2.fillPoly(canvas, outlines, 1)
        else:
            u0, v0, u1, v1 = (round(value) for value in self.box)
            canvas[max(0, v0) : max(0, v1 + 1), max(0, u0) : max(0, u1 + 1)] = 1
        return canvas.astype(bool)

    def turned(self, frame: Frame) -> Detection:
        """The same in the pixels of ``frame``, which may be turned against the received picture."""
        degrees = frame.turned_deg
        if not degrees:
            return self
        size = (frame.height, frame.width)
        received = size if degrees == 180 else size[::-1]

        def moved(uv: NDArray[np.float64]) -> NDArray[np.float64]:
            return turned_pixels(uv, *received, degrees)

        corners = moved(np.array(self.box).reshape(2, 2))
        (u0, v0), (u1, v1) = corners.min(axis=0).tolist(), corners.max(axis=0).tolist()
        runs = self.runs
        if runs is not None:
            runs = RunLengths.of(np.rot90(runs.mask, -degrees // 90))
        polygons = tuple(moved(polygon) for polygon in self.polygons)
        return dataclasses.replace(self, box=(u0, v0, u1, v1), polygons=polygons, runs=runs)


def load_detections(path: str | Path) -> tuple[Detection, ...]:
    """Read a detections file (docs/detections.md).

    Raises:
        SourceError: not readable, not JSON, or an entry that cannot be right, by its place.
    """
    try:
        data = json.loads(Path(path).read_text(encoding="utf-8"))
    except OSError as err:
        raise SourceError(path, f"cannot be read: {err.strerror}.") from err
    except (ValueError, RecursionError) as err:
        raise SourceError(path, f"is not JSON: {' '.join(str(err).split())}.") from err
    return parse_detections(data, str(path))


def parse_detections(data: object, name: str = "detections") -> tuple[Detection, ...]:
    """Detections of a parsed file; errors as for :func:`load_detections`."""
    reader = _Reader(name)
    whole = reader.mapping(data, "the file")
    images: dict[object, tuple[str, int]] = {}
    for index, entry in enumerate(reader.sequence(whole.get("images"), "images")):
        place = f"images[{index}]"
        image = reader.mapping(entry, place)
        camera, stamp = image.get("camera"), image.get("stamp_ns")
        if not isinstance(camera, str) or not camera:
            raise reader.wrong(f"{place}.camera", "the name of a camera", camera)
        if not isinstance(stamp, int) or isinstance(stamp, bool) or stamp < 0:
            raise reader.wrong(f"{place}.stamp_ns", "integer nanoseconds", stamp)
        images[reader.key(image.get("id"), f"{place}.id")] = (camera, stamp)
    names: dict[object, str] = {}
    for index, entry in enumerate(reader.sequence(whole.get("categories", []), "categories")):
        place = f"categories[{index}]"
        category = reader.mapping(entry, place)
        names[reader.key(category.get("id"), f"{place}.id")] = str(category.get("name", ""))
    found = []
    for index, entry in enumerate(reader.sequence(whole.get("annotations"), "annotations")):
        place = f"annotations[{index}]"
        item = reader.mapping(entry, place)
        image_id = reader.key(item.get("image_id"), f"{place}.image_id")
        if image_id not in images:
            raise reader.wrong(f"{place}.image_id", "the id of one of images", image_id)
        found.append(reader.detection(item, place, images[image_id], names))
    return tuple(found)


class _Reader:
    """Checks what a file holds; every error names the file and the place in it."""

    def __init__(self, name: str) -> None:
        self._name = name

    def wrong(self, place: str, expected: str, came: object) -> SourceError:
        shown = repr(came)
        shown = shown if len(shown) <= 40 else shown[:37] + "..."
        return SourceError(
            self._name, f"{place}: {expected} expected, got {shown}.", hint="see docs/detections.md"
        )

    def mapping(self, value: object, place: str) -> Mapping[str, Any]:
        if not isinstance(value, dict):
            raise self.wrong(place, "an object", value)
        return value

    def sequence(self, value: object, place: str) -> Sequence[object]:
        if not isinstance(value, list):
            raise self.wrong(place, "a list", value)
        return value

    def key(self, value: object, place: str) -> int | str:
        if isinstance(value, bool) or not isinstance(value, int | str):
            raise self.wrong(place, "a number or text", value)
        return value

    def number(self, value: object, place: str) -> float:
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise self.wrong(place, "a number", value)
        if not math.isfinite(value):
            raise self.wrong(place, "a finite number", value)
        return float(value)

    def detection(
        self,
        item: Mapping[str, Any],
        place: str,
        image: tuple[str, int],
        names: Mapping[object, str],
    ) -> Detection:
        box = self._box(item.get("bbox"), f"{place}.bbox")
        shape = item.get("segmentation")
        runs = self._runs(shape, f"{place}.segmentation") if isinstance(shape, dict) else None
        polygons = () if runs else self._polygons(shape, f"{place}.segmentation")
        if runs is not None:
            box = runs.box or box
        elif box is None and polygons:
            every = np.concatenate(polygons)
            low, high = every.min(axis=0), every.max(axis=0)
            box = (float(low[0]), float(low[1]), float(high[0]), float(high[1]))
        if box is None:
            raise self.wrong(f"{place}.bbox", "[x, y, width, height]", None)
        label = item.get("label", names.get(item.get("category_id"), ""))
        if not isinstance(label, str):
            raise self.wrong(f"{place}.label", "text", label)
        score = self.number(item.get("score", 1.0), f"{place}.score")
        if not 0.0 <= score <= 1.0:
            raise self.wrong(f"{place}.score", "0..1", score)
        return Detection(image[0], image[1], box, label.strip(), score, polygons, runs)

    def _box(self, value: object, place: str) -> Box | None:
        if value is None:
            return None
        numbers = [self.number(part, place) for part in self.sequence(value, place)]
        if len(numbers) != 4 or numbers[2] <= 0 or numbers[3] <= 0:
            raise self.wrong(place, "[x, y, width > 0, height > 0]", value)
        u, v, width, height = numbers
        return u, v, u + width - 1.0, v + height - 1.0

    def _runs(self, value: Mapping[str, Any], place: str) -> RunLengths:
        try:
            return read_runs(value.get("size"), value.get("counts"))
        except ValueError as err:
            raise SourceError(
                self._name, f"{place}: {err}.", hint="see docs/detections.md"
            ) from err

    def _polygons(self, value: object, place: str) -> tuple[NDArray[np.float64], ...]:
        if value is None or value == []:
            return ()
        found = []
        for part in self.sequence(value, place):
            numbers = [self.number(item, place) for item in self.sequence(part, place)]
            if len(numbers) < 6 or len(numbers) % 2:
                raise self.wrong(place, "at least three points x, y of each polygon", part)
            found.append(np.array(numbers, dtype=np.float64).reshape(-1, 2))
        return tuple(found)
