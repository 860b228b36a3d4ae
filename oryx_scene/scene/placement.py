"""Where a received picture lands in the picture that the model sees: sizes and the pixel mapping.

The reference code floors each side to a multiple, which turns 16:9 into 2:1. Here the aspect ratio
is kept: the largest size whose stretch stays under ``MAX_STRETCH``, and where none exists a padded
one. Integers and plain floats only; pixels are moved in ``prepare``.
"""

from __future__ import annotations

from dataclasses import dataclass

from oryx_scene.errors import BudgetError

# A picture stretched by 2 % is not seen to be stretched; padding costs tokens that show nothing.
MAX_STRETCH = 0.02
MAX_ASPECT = 16.0


@dataclass(frozen=True)
class Placement:
    """The affine map from a received picture to a prepared one.

    Attributes:
        source_height, source_width: received size, pixels.
        height, width: prepared size, multiples of the token cell.
        content_height, content_width: size of the picture inside the prepared one.
        top, left: offset of the content (padding before it), pixels.
    """

    source_height: int
    source_width: int
    height: int
    width: int
    content_height: int
    content_width: int
    top: int = 0
    left: int = 0

    @property
    def scale_u(self) -> float:
        """Prepared pixels per received pixel, along the width."""
        return self.content_width / self.source_width

    @property
    def scale_v(self) -> float:
        """Prepared pixels per received pixel, along the height."""
        return self.content_height / self.source_height

    def to_prepared(self, u: float, v: float) -> tuple[float, float]:
        """Map received pixel coordinates to prepared ones (pixel centres at integers)."""
        return (
            (u + 0.5) * self.scale_u - 0.5 + self.left,
            (v + 0.5) * self.scale_v - 0.5 + self.top,
        )

    def to_received(self, u: float, v: float) -> tuple[float, float]:
        """Map prepared pixel coordinates back to received ones."""
        return (
            (u - self.left + 0.5) / self.scale_u - 0.5,
            (v - self.top + 0.5) / self.scale_v - 0.5,
        )

    @property
    def stretch(self) -> float:
        """Relative change of the aspect ratio, 0 = none."""
        ratio = self.scale_u / self.scale_v
        return max(ratio, 1.0 / ratio) - 1.0

    @property
    def padded(self) -> bool:
        """Whether part of the prepared picture shows nothing."""
        return (self.content_height, self.content_width) != (self.height, self.width)

    def describe(self) -> str:
        """One phrase for tables and warnings."""
        how = "padded" if self.padded else f"stretched {100 * self.stretch:.1f} %"
        return f"{self.source_width}x{self.source_height} -> {self.width}x{self.height} ({how})"


def _floor_to(value: float, multiple: int) -> int:
    return max(multiple, int(value // multiple) * multiple)


def _ceil_to(value: int, multiple: int) -> int:
    return -(-value // multiple) * multiple


def _unstretched(height: int, width: int, multiple: int, max_area: int) -> Placement | None:
    """The largest size without padding whose stretch is small enough; never enlarges."""
    best: Placement | None = None
    for rows in range(multiple, _ceil_to(height, multiple) + 1, multiple):
        ideal = rows * width / height
        for columns in {_floor_to(ideal, multiple), _floor_to(ideal, multiple) + multiple}:
            if rows * columns > max_area or columns > _ceil_to(width, multiple):
                continue
            placement = Placement(height, width, rows, columns, rows, columns)
            if placement.stretch > MAX_STRETCH:
                continue
            if best is None or rows * columns > best.height * best.width:
                best = placement
    return best


def _padded(height: int, width: int, multiple: int, max_area: int) -> Placement:
    """The picture at its own aspect ratio, centred in the smallest multiple that holds it."""
    scale = min(1.0, (max_area / (height * width)) ** 0.5)
    while True:
        rows = max(1, round(height * scale))
        columns = max(1, round(width * scale))
        padded_rows, padded_columns = _ceil_to(rows, multiple), _ceil_to(columns, multiple)
        too_large = padded_rows * padded_columns > max_area
        if not too_large or (padded_rows == multiple and padded_columns == multiple):
            break
        scale *= 0.98
    return Placement(
        height,
        width,
        padded_rows,
        padded_columns,
        rows,
        columns,
        (padded_rows - rows) // 2,
        (padded_columns - columns) // 2,
    )


def place(height: int, width: int, *, multiple: int, max_area: int) -> Placement:
    """Choose the prepared size of a ``height`` x ``width`` picture.

    Args:
        height, width: received size, pixels.
        multiple: side of the token cell the prepared sides must divide by, pixels.
        max_area: most prepared pixels (at least one cell is always given).

    Raises:
        BudgetError: the picture is empty or longer than 16 times its other side.
    """
    if height < 1 or width < 1:
        raise BudgetError(
            f"a picture of {width}x{height} pixels cannot be shown to the model.",
            hint="check the camera's driver; both sides must be at least 1 pixel",
        )
    aspect = max(height / width, width / height)
    if aspect > MAX_ASPECT:
        raise BudgetError(
            f"a picture of {width}x{height} pixels is {aspect:.0f} times longer than wide; at most "
            f"{MAX_ASPECT:.0f} can be shown to the model.",
            hint="crop the picture before asking about it",
        )
    found = _unstretched(height, width, multiple, max_area)
    padded = _padded(height, width, multiple, max_area)
    if found is None:
        return padded
    # Small pictures have few sizes to choose from: pad where an unstretched size throws away
    # more than half of the pixels that padding would keep.
    kept = padded.content_height * padded.content_width
    return found if 2 * found.height * found.width >= kept else padded
