"""Plays a recording and starts the scene node in the recording's time.

`ros2 launch oryx_scene_ros replay.launch.py source:=/path/to/bag`. Without a launch system, in two
terminals: `oryx-scene node --params launch/replay.yaml --ros-args -p use_sim_time:=true` and
`python -m oryx_scene_ros.play /path/to/bag --clock --hold --wait 60`.
"""

from pathlib import Path

from ament_index_python.packages import get_package_share_directory
from launch import LaunchDescription
from launch.actions import DeclareLaunchArgument, IncludeLaunchDescription
from launch.conditions import IfCondition
from launch.launch_description_sources import PythonLaunchDescriptionSource
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import Node

SHARE = Path(get_package_share_directory("oryx_scene_ros"))

ARGUMENTS = (
    (
        "source",
        None,
        "What is played: rosbag2 folder, .mcap, .db3, ROS 1 .bag, posed RGB-D folder, dump.",
    ),
    (
        "params_file",
        str(SHARE / "launch" / "replay.yaml"),
        "ROS 2 parameter YAML; its topics must be those of the recording.",
    ),
    ("namespace", "", "Namespace of the scene node; empty = none."),
    ("rate", "1.0", "Pace of the recording: 2.0 is twice as fast."),
    ("start", "0.0", "Skip this many seconds of the recording."),
    ("loop", "1", "How often it is played; 0 = until interrupted (the clock jumps back)."),
    ("wait", "60.0", "Wait up to this many seconds for the node to subscribe."),
    ("log_level", "info", "Of the scene node: debug, info, warn, error or fatal."),
    ("rviz", "false", "true: open RViz with pictures, marks and relations."),
)


def generate_launch_description() -> LaunchDescription:
    """Player, node and, if wanted, RViz."""
    declared = [
        DeclareLaunchArgument(name, description=description)
        if default is None
        else DeclareLaunchArgument(name, default_value=default, description=description)
        for name, default, description in ARGUMENTS
    ]
    scene = IncludeLaunchDescription(
        PythonLaunchDescriptionSource(str(SHARE / "launch" / "scene.launch.py")),
        launch_arguments={
            "params_file": LaunchConfiguration("params_file"),
            "namespace": LaunchConfiguration("namespace"),
            "log_level": LaunchConfiguration("log_level"),
            "use_sim_time": "true",
        }.items(),
    )
    player = Node(
        package="oryx_scene_ros",
        executable="play",
        arguments=[
            LaunchConfiguration("source"),
            *("--rate", LaunchConfiguration("rate")),
            *("--start", LaunchConfiguration("start")),
            *("--loop", LaunchConfiguration("loop")),
            *("--wait", LaunchConfiguration("wait")),
            *("--clock", "--hold"),
        ],
        output="screen",
    )
    rviz = Node(
        package="rviz2",
        executable="rviz2",
        arguments=["-d", str(SHARE / "launch" / "oryx_scene.rviz")],
        parameters=[{"use_sim_time": True}],
        condition=IfCondition(LaunchConfiguration("rviz")),
    )
    return LaunchDescription([*declared, scene, player, rviz])
