"""Starts the scene node: `ros2 launch oryx_scene_ros scene.launch.py params_file:=my_robot.yaml`.

`ros2 launch oryx_scene_ros scene.launch.py --show-args` lists the arguments. Without a launch
system: `oryx-scene node --params my_robot.yaml`.
"""

from pathlib import Path

from ament_index_python.packages import get_package_share_directory
from launch import LaunchContext, LaunchDescription
from launch.actions import DeclareLaunchArgument, OpaqueFunction, SetEnvironmentVariable
from launch.conditions import IfCondition
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import Node

SHARE = Path(get_package_share_directory("oryx_scene_ros"))

ARGUMENTS = (
    (
        "params_file",
        str(SHARE / "launch" / "scene.yaml"),
        "ROS 2 parameter YAML: cameras, topics, model and limits (docs/ros_parameters.md).",
    ),
    ("namespace", "", "Namespace of the node, e.g. the robot's name; empty = none."),
    (
        "use_sim_time",
        "",
        "true: take time from /clock (simulation, recordings). Empty = as in params_file.",
    ),
    (
        "autostart",
        "",
        "true: the node configures and activates itself, false: a lifecycle manager does. Empty = "
        "as in params_file, true where that says nothing.",
    ),
    ("tf_topic", "/tf", "Where transforms come from; tf for those of the namespace."),
    ("tf_static_topic", "/tf_static", "The same for static transforms."),
    ("log_level", "info", "debug, info, warn, error or fatal."),
    ("respawn", "false", "true: start the node again two seconds after it ended."),
    (
        "shared_memory",
        "false",
        "true: Fast DDS with a shared-memory segment that holds pictures (docs/dds.md). The camera "
        "drivers must be started with the same profile.",
    ),
)
# What a flag says where it is given; empty leaves the parameter file's word.
FLAGS = {"true": True, "false": False}


def scene_node(context: LaunchContext) -> list[Node]:
    """The node, with what was given on the command line over the parameter file.

    Raises:
        RuntimeError: there is no such file, or a flag is neither true nor false.
    """
    params_file = Path(LaunchConfiguration("params_file").perform(context)).expanduser()
    if not params_file.is_file():
        raise RuntimeError(f"there is no parameter file {params_file} (argument params_file)")
    flags = {}
    for name in ("use_sim_time", "autostart"):
        given = LaunchConfiguration(name).perform(context).strip().lower()
        if given not in ("", *FLAGS):
            raise RuntimeError(f"{name}:={given} is neither true nor false")
        if given:
            flags[name] = FLAGS[given]
    return [
        Node(
            package="oryx_scene_ros",
            executable="scene_node",
            name="oryx_scene",
            namespace=LaunchConfiguration("namespace"),
            parameters=[str(params_file), *([flags] if flags else [])],
            remappings=[
                ("/tf", LaunchConfiguration("tf_topic")),
                ("/tf_static", LaunchConfiguration("tf_static_topic")),
            ],
            # Before the files: a default, which any of them overrides.
            arguments=[
                *("--ros-args", "-p", "autostart:=true"),
                *("--log-level", LaunchConfiguration("log_level")),
            ],
            output="screen",
            emulate_tty=True,
            respawn=LaunchConfiguration("respawn"),
            respawn_delay=2.0,
        )
    ]


def generate_launch_description() -> LaunchDescription:
    """The node and its arguments."""
    declared = [
        DeclareLaunchArgument(name, default_value=default, description=description)
        for name, default, description in ARGUMENTS
    ]
    profile = SetEnvironmentVariable(
        "FASTDDS_DEFAULT_PROFILES_FILE",
        str(SHARE / "dds" / "shm.xml"),
        condition=IfCondition(LaunchConfiguration("shared_memory")),
    )
    return LaunchDescription([*declared, profile, OpaqueFunction(function=scene_node)])
