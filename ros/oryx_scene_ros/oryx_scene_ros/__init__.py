"""The ROS 2 node of oryx_scene: messages in, messages out; everything between is the library."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from oryx_scene_ros.node import SceneNode

__all__ = ["make_node"]


def make_node(**arguments: Any) -> SceneNode:
    """The node for a process of your own; add it to an executor, then configure and activate it.

    Nothing of ROS is imported before. ``node.autostart()`` does both transitions on the calling
    thread; ``node.destroy_node()`` ends its threads.

    Args:
        arguments: as of :class:`oryx_scene_ros.node.SceneNode` and ``rclpy.node.Node`` (``name``,
            ``namespace``, ``parameter_overrides``, ``load``, ...).
    """
    from oryx_scene_ros.node import SceneNode

    return SceneNode(**arguments)
