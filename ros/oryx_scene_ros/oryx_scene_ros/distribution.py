"""What differs between ROS 2 distributions, in one file: Humble, Jazzy, Kilted, Rolling.

| | Humble (rclpy 3.3) | Iron and later (4.1, 7.1 of Jazzy, 9.1 of Kilted) |
|---|---|---|
| reliability `best_available` | none: `reliability` says so | there |
| callback after parameters were set | none: `after_parameters_set` makes one | there |

vision_msgs is 4 in all of these; up to 3 (Galactic) a Detection3D has no id, and a Pose2D holds x
and y itself: what comes in is read either way by the library (`marks.detections.topic`). tf2_msgs
and vision_msgs are packages of their own that may be missing. What rclpy has in all of these
without a public name (an executor's end, a node's overrides, rcl's error) is named here, too.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from rclpy.executors import Executor
from rclpy.impl.implementation_singleton import rclpy_implementation
from rclpy.node import Node
from rclpy.parameter import Parameter
from rclpy.qos import ReliabilityPolicy

from oryx_scene.errors import ConfigError

try:
    from tf2_msgs.msg import TFMessage as _TFMessage
except ImportError:  # said by the node when it is configured
    _TFMessage = None
try:
    from vision_msgs import msg as _vision
except ImportError:
    _vision = None
TFMessage: Any = _TFMessage
vision: Any = _vision
# Raised by what is used while its context ends.
RCLError: Any = rclpy_implementation.RCLError


def reliability(name: str) -> ReliabilityPolicy:
    """`reliable`, `best_effort` or `best_available`.

    Raises:
        ConfigError: this distribution has no such policy.
    """
    found = getattr(ReliabilityPolicy, name.upper(), None)
    if found is None:
        raise ConfigError(
            f"this distribution of ROS 2 has no reliability '{name}'.",
            hint="best_effort receives from every publisher",
        )
    return found


def parameter_overrides(node: Node) -> dict[str, Parameter]:
    """What the parameter files and the command line gave a node, declared or not."""
    return dict(getattr(node, "_parameter_overrides", {}))


def after_parameters_set(node: Node, taken: Callable[[Sequence[Parameter]], None]) -> None:
    """Call ``taken`` with parameters after they were set (on Humble also after a refusal)."""
    add = getattr(node, "add_post_set_parameters_callback", None)
    if add is not None:
        add(taken)
        return

    def telling(plain: Callable[[Sequence[Parameter]], Any]) -> Callable[..., Any]:
        def set_and_tell(parameters: Sequence[Parameter]) -> Any:
            result = plain(parameters)
            taken(parameters)
            return result

        return set_and_tell

    # The parameter services and everybody else go through one of these two.
    node.set_parameters = telling(node.set_parameters)
    node.set_parameters_atomically = telling(node.set_parameters_atomically)


def has_ended(executor: Executor) -> bool:
    """Whether an executor was shut down."""
    return bool(getattr(executor, "_is_shutdown", False))
