"""What a window shows, and how each key changes it; knows no window and no Open3D.

``KEYS`` is the one table of keys: the window registers it, the help on screen and that of
`oryx-scene view --help` are written from it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from oryx_scene.view.shapes import LAYERS
from oryx_scene.view.viewpoint import CAMERA_PREFIX


@dataclass(frozen=True)
class Key:
    """One key: GLFW's code, its name for people, and what it does (said once per action)."""

    code: int
    name: str
    action: str
    help: str


# GLFW numbers letters and digits as ASCII does, and the others from 256 on.
KEYS: tuple[Key, ...] = (
    Key(ord("N"), "N", "next", "next view set or answer"),
    Key(262, "right", "next", ""),
    Key(ord("P"), "P", "previous", "previous view set or answer"),
    Key(263, "left", "previous", ""),
    Key(268, "Home", "first", "first one"),
    Key(269, "End", "last", "last one"),
    *(
        Key(ord(str(number)), str(number), f"layer:{layer}", f"{layer} on or off")
        for number, layer in enumerate(LAYERS, start=1)
    ),
    Key(ord("W"), "W", "words", "question and answer on or off"),
    Key(ord("C"), "C", "camera", "look through the next camera"),
    Key(ord("F"), "F", "viewpoint:free", "look from behind the cameras"),
    Key(ord("R"), "R", "viewpoint:front", "look along the cameras' view"),
    Key(ord("T"), "T", "viewpoint:top", "look from above"),
    Key(ord("S"), "S", "save", "save a picture"),
    Key(ord("H"), "H", "help", "this help on or off"),
    Key(ord("Q"), "Q", "quit", "close the window"),
    Key(256, "Esc", "quit", ""),
)

MOUSE = (
    "drag: turn about the scene",
    "Ctrl + drag: move sideways",
    "wheel: nearer and farther",
)


@dataclass(frozen=True)
class Look:
    """What the window shows.

    Attributes:
        step: index into the story.
        layers: those that are drawn.
        viewpoint: a name of ``view.viewpoint``; looked from when it changes, then the mouse's.
        words: whether the question and the answer are shown.
        help: whether the table of keys is shown.
    """

    step: int = 0
    layers: frozenset[str] = frozenset(LAYERS)
    viewpoint: str = "free"
    words: bool = True
    help: bool = False


def press(look: Look, action: str, steps: int, cameras: Sequence[str]) -> Look:
    """The look after a key's action; actions that are the window's own ("save") change nothing.

    Args:
        look: before.
        action: of a :class:`Key`.
        steps: length of the story; stepping stops at both ends.
        cameras: names of viewpoints after ``camera:`` that the current step has, in order.
    """
    kind, _, value = action.partition(":")
    last = max(steps - 1, 0)
    moves = {"next": look.step + 1, "previous": look.step - 1, "first": 0, "last": last}
    if kind in moves:
        look = replace(look, step=min(max(moves[kind], 0), last))
    elif kind == "layer":
        look = replace(look, layers=look.layers ^ {value})
    elif kind == "viewpoint":
        look = replace(look, viewpoint=value)
    elif kind == "camera":
        look = replace(look, viewpoint=_next_camera(look.viewpoint, cameras))
    elif kind == "words":
        look = replace(look, words=not look.words)
    elif kind == "help":
        look = replace(look, help=not look.help)
    return look


def _next_camera(viewpoint: str, cameras: Sequence[str]) -> str:
    """The camera after the one looked through; the first one from anywhere else."""
    if not cameras:
        return viewpoint
    name = viewpoint.removeprefix(CAMERA_PREFIX)
    place = cameras.index(name) + 1 if name in cameras else 0
    return CAMERA_PREFIX + cameras[place % len(cameras)]


def help_lines() -> tuple[str, ...]:
    """One line per key and mouse action."""
    names: dict[str, list[str]] = {}
    words: dict[str, str] = {}
    for key in KEYS:
        names.setdefault(key.action, []).append(key.name)
        words.setdefault(key.action, key.help)
    lines = [f"{', '.join(names[action])}: {text}" for action, text in words.items()]
    return (*lines, *MOUSE)
