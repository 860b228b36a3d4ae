"""A synthetic room as a recording: the same seed gives the same frames, byte for byte."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from oryx_scene.lab.synth.scenes import SceneSpec, render_spec
from oryx_scene.lab.synth.world import World
from oryx_scene.records import Frame
from oryx_scene.sources.bags.writer import write_source


class RenderedSource:
    """Rendered frames where a recording's frames are wanted."""

    synthetic = True

    def __init__(self, frames: Sequence[Frame]) -> None:
        self._frames = tuple(frames)

    def frames(self) -> Iterator[Frame]:
        """All frames in the order of their stamps."""
        return iter(sorted(self._frames, key=lambda frame: (frame.stamp_ns, frame.camera)))


def record_room(spec: SceneSpec, path: Path) -> World:
    """Write the room of ``spec`` as a ROS 2 bag and return what is true about it.

    Raises:
        OutputError: the folder exists, or the disk is full.
    """
    world, frames = render_spec(spec)
    write_source(RenderedSource(frames), path)
    return world
