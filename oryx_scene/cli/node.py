"""`oryx-scene node`: the ROS 2 node, also where no ROS distribution is installed."""

from __future__ import annotations

import argparse
from pathlib import Path

from oryx_scene.errors import ConfigError, MissingExtraError

HELP = "Run the ROS 2 node (the same as `ros2 run oryx_scene_ros scene_node`)."


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("--params", type=Path, metavar="FILE", help="ROS 2 parameter YAML")
    parser.add_argument("--model", metavar="DIR_OR_ID", help="the parameter model.name")
    parser.add_argument("--cameras", nargs="+", metavar="NAME", help="the parameter cameras")
    parser.add_argument(
        "--wait",
        action="store_true",
        help="wait for a lifecycle manager instead of configuring and activating at once",
    )
    parser.add_argument(
        "--ros-args",
        nargs=argparse.REMAINDER,
        default=[],
        metavar="...",
        help="everything after it goes to ROS: -r old:=new, -p name:=value",
    )


def run(args: argparse.Namespace) -> int:
    """Start the node and wait for SIGINT."""
    try:
        import rclpy  # noqa: F401
    except ImportError as err:
        raise MissingExtraError(
            "rclpy", "ros", needed_for="the node (or source a ROS 2 distribution)", cause=str(err)
        ) from err
    try:
        from oryx_scene_ros.main import run as run_node
    except ImportError as err:
        raise ConfigError(
            f"the node's own packages are not installed ({err}).",
            hint="pip install ./ros/oryx_scene_msgs ./ros/tf2_msgs_min, or build and source a "
            "colcon workspace with oryx_scene_msgs and oryx_scene_ros",
        ) from err
    return int(run_node(ros_arguments(args)))


def ros_arguments(args: argparse.Namespace) -> list[str]:
    """The arguments as rclpy takes them."""
    words = ["--ros-args"]
    if not args.wait:
        words += ["-p", "autostart:=true"]
    if args.params is not None:
        if not args.params.is_file():
            raise ConfigError(f"there is no parameter file {args.params}.")
        words += ["--params-file", str(args.params)]
    if args.model is not None:
        words += ["-p", f"model.name:={args.model}"]
    if args.cameras is not None:
        words += ["-p", f"cameras:=[{', '.join(args.cameras)}]"]
    return [*words, *args.ros_args]
