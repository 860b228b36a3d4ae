"""The page docs/ros_parameters.md, from the schema: `python -m oryx_scene_ros.docs > PAGE`."""

from __future__ import annotations

import sys

from oryx_scene_ros.schema import CAMERA_SPECS, SPECS, Spec

_HEAD = """# Parameters of the node

Generated from `ros/oryx_scene_ros/oryx_scene_ros/schema.py` by `python -m oryx_scene_ros.docs`; a
test keeps it equal. A value out of range is refused with a reason and changes nothing. Changes act
from the next question. Parameters marked **C** are taken over by "configure": they can only be
changed while the node is unconfigured. A parameter of a camera that `cameras` does not name makes
"configure" fail.

```yaml
/**:
  ros__parameters:
    cameras: [front, rear]
    camera.front.topic: /front/image_raw
    camera.rear.required: false
    views.max_age_s: 0.5
```
"""


def parameters_page() -> str:
    """The whole page."""
    return "\n".join(
        [
            _HEAD,
            "## Of the node",
            "",
            *_table(SPECS),
            "",
            "## Of each camera",
            "",
            *_table(CAMERA_SPECS),
            "",
        ]
    )


def _table(specs: tuple[Spec, ...]) -> list[str]:
    rows = ["| name | type | default | range | | meaning |", "|---|---|---|---|---|---|"]
    for spec in specs:
        name = spec.name.replace("{camera}", "<name>")
        default = f"`{spec.default}`" if spec.default != "" else '`""`'
        change = "**C**" if spec.read_only else ""
        rows.append(
            f"| `{name}` | {spec.kind} | {default} | {spec.range_text()} | {change} | {spec.text} |"
        )
    return rows


if __name__ == "__main__":
    sys.stdout.write(parameters_page())
