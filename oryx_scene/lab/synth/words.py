"""The words of synthetic worlds: colours, shapes, and the combinations kept back for tests.

Pure data. Worlds of the splits "train" and "test" never hold a combination of ``HELD_OUT``; worlds
of the split "combinations" hold at least one.
"""

from __future__ import annotations

from oryx_scene.errors import ConfigError

# sRGB under full light; far enough apart to be told apart in shade.
COLOURS: dict[str, tuple[float, float, float]] = {
    "red": (200.0, 40.0, 40.0),
    "orange": (235.0, 140.0, 40.0),
    "yellow": (230.0, 215.0, 50.0),
    "green": (50.0, 160.0, 60.0),
    "blue": (50.0, 80.0, 200.0),
    "purple": (140.0, 60.0, 170.0),
    "white": (235.0, 235.0, 235.0),
    "black": (35.0, 35.0, 35.0),
}
SHAPES = ("box", "ball", "cylinder")
FURNITURE = "table"
HELD_OUT = (("orange", "ball"), ("blue", "cylinder"), ("purple", "box"))
# Mixed into the seed, so that one seed gives another world in every split.
SPLITS = {"train": 1, "test": 2, "combinations": 3}


def check_split(split: str) -> str:
    """Return ``split``.

    Raises:
        ConfigError: no such split.
    """
    if split not in SPLITS:
        raise ConfigError(
            f"there is no split '{split}' of synthetic worlds.", hint=f"known: {', '.join(SPLITS)}"
        )
    return split
