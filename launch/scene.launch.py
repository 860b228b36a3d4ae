"""Starts the scene node: `ros2 launch oryx_scene_ros scene.launch.py params_file:=my_robot.yaml`.

`ros2 launch oryx_scene_ros scene.launch.py --show-args` lists the arguments. Without a launch
system: `oryx-scene node --params my_robot.yaml`.
"""

from pathlib import Path

from ament_index_python.packages import get_package_share_directory
from launch import LaunchDescription
from launch.actions import DeclareLaunchArgument, SetEnvironmentVariable
from launch.conditions import IfCondition
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import Node
from launch_ros.parameter_descriptions import ParameterValue

SHARE = Path(get_package_share_directory("oryx_scene_ros"))

ARGUMENTS = (
    (
        "params_file",
        str(SHARE / "launch" / "scene.yaml"),
        "ROS 2 parameter YAML: cameras, topics, model and limits (docs/ros_parameters.md).",
    ),
    ("namespace", "", "Namespace of the node, e.g. the robot's name; empty = none."),
    ("use_sim_time", "false", "true: take time from /clock (simulation, recordings)."),
    (
        "autostart",
        "true",
        "true: the node configures and activates itself. false: a lifecycle manager does.",
    ),
    ("log_level", "info", "debug, info, warn, error or fatal."),
    ("respawn", "false", "true: start the node again two seconds after it ended."),
    (
        "shared_memory",
        "false",
        "true: Fast DDS with a shared-memory segment that holds pictures (docs/dds.md). The camera "
        "drivers must be started with the same profile.",
    ),
)


def _flag(name: str) -> ParameterValue:
    return ParameterValue(LaunchConfiguration(name), value_type=bool)


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
    node = Node(
        package="oryx_scene_ros",
        executable="scene_node",
        name="oryx_scene",
        namespace=LaunchConfiguration("namespace"),
        parameters=[
            LaunchConfiguration("params_file"),
            {"use_sim_time": _flag("use_sim_time"), "autostart": _flag("autostart")},
        ],
        arguments=["--ros-args", "--log-level", LaunchConfiguration("log_level")],
        output="screen",
        emulate_tty=True,
        respawn=LaunchConfiguration("respawn"),
        respawn_delay=2.0,
    )
    return LaunchDescription([*declared, profile, node])
