"""docs/ros_parameters.md and docs/ros_errors.md.

`python -m oryx_scene_ros.parameters.pages NAME > PAGE` writes one of them.
"""

from __future__ import annotations

import sys

from oryx_scene_ros.error_codes import MEANINGS
from oryx_scene_ros.parameters.schema import CAMERA_SPECS, SPECS, Spec

_HEAD = """# Parameters of the node

Generated from `oryx_scene_ros/parameters/schema.py` by
`python -m oryx_scene_ros.parameters.pages parameters`; a test keeps it equal.

A value out of range is refused with a reason and changes nothing; a whole number is taken where a
double stands. Changes act from the next question.
Parameters marked **C** are taken over by "configure": they can only be changed while the node is
unconfigured.

A parameter that the node does not have and that looks like one of its own makes "configure" fail
and is named (`views.maxage_s`: is `views.max_age_s` meant?). Others, as in a file for several
nodes, and cameras with parameters that `cameras` does not name are told in the log. `cameras` may
name fewer cameras than have parameters, as long as each that it names has its own.

```yaml
/**:
  ros__parameters:
    cameras: [front, rear]
    camera.front.topic: /front/image_raw
    camera.rear.required: false
    views.max_age_s: 0.5
```
"""
_ERRORS = """# Error codes of the node

Generated from `oryx_scene_ros/error_codes.py` by
`python -m oryx_scene_ros.parameters.pages errors`; a test keeps it equal.

`error.message` of an answer or service reply says what happened this time,
`error.hint` what to do about it; `~/answer_text` says both. 709 is not used.
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


def errors_page() -> str:
    """The whole page docs/ros_errors.md."""
    rows = [
        f"| {int(code)} | {code.name} | {meaning} | {advice} |"
        for code, (meaning, advice) in MEANINGS.items()
    ]
    return "\n".join(
        [_ERRORS, "| code | name | means | what to do |", "|---|---|---|---|", *rows, ""]
    )


PAGES = {"parameters": parameters_page, "errors": errors_page}

if __name__ == "__main__":
    sys.stdout.write(PAGES[sys.argv[1] if len(sys.argv) > 1 else "parameters"]())
