"""launch/scene.yaml from the table of parameters.

`python -m oryx_scene_ros.parameters.parameter_file` writes it: every parameter with its
default, meaning and range, to be copied and changed. No rclpy here.
"""

from __future__ import annotations

import json
import sys
import textwrap
from collections.abc import Iterator

from oryx_scene_ros.parameters.schema import CAMERA_SPECS, SPECS, Spec, Value

WIDTH = 96
HEAD = """\
# Every parameter of the node with its default; docs/ros_parameters.md says the same as a table.
# Copy this file, name your cameras and topics, and pass it with params_file:= or --params.
/**:
  ros__parameters:"""


def _literal(value: Value) -> str:
    if isinstance(value, list):
        return f"[{', '.join(value)}]"
    # A quoted text stays a text, also where it looks like a number.
    return json.dumps(value)


def _entry(spec: Spec, name: str, indent: int) -> Iterator[str]:
    limits = spec.range_text()
    text = f"{spec.text} ({limits})" if limits else spec.text
    yield from textwrap.wrap(
        text,
        WIDTH,
        initial_indent=" " * indent + "# ",
        subsequent_indent=" " * indent + "# ",
        break_long_words=False,
    )
    # Where a file does not set it, launch files and `oryx-scene node` say true.
    unset = "# " if spec.name == "autostart" else ""
    yield f"{' ' * indent}{unset}{name}: {_literal(spec.default)}"


def _lines() -> Iterator[str]:
    yield HEAD
    written: set[str] = set()
    for spec in SPECS:
        group, _, rest = spec.name.partition(".")
        if not rest:
            yield from _entry(spec, spec.name, 4)
        elif group not in written:
            written.add(group)
            yield f"    {group}:"
            for member in SPECS:
                if member.name.startswith(f"{group}."):
                    yield from _entry(member, member.name.partition(".")[2], 6)
        if spec.name == "cameras":
            yield "    # One group like this per camera."
            yield "    camera:\n      front:"
            for camera in CAMERA_SPECS:
                yield from _entry(camera, camera.name.rpartition(".")[2], 8)


def render() -> str:
    """The file's text."""
    return "\n".join(_lines()) + "\n"


if __name__ == "__main__":
    sys.stdout.write(render())
