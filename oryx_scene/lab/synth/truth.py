"""What is true about one object of a synthetic world, in words and metres."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class ObjectTruth:
    """One object of a world.

    Attributes:
        object_id: as in ``Frame.labels``, from 1.
        colour, shape: words (`words.COLOURS`, `words.SHAPES`, or "table").
        position: centre of the bounding box in the fixed frame, metres.
        extent: full size along the fixed frame's axes, metres.
    """

    object_id: int
    colour: str
    shape: str
    position: tuple[float, float, float]
    extent: tuple[float, float, float]
