#!/bin/sh
# Brings the real `ros2` command line and launch system, which are not on PyPI, from a folder with checkouts of
# their public sources (launch, launch_ros, ros2cli, rosidl_runtime_py, rcl_interfaces and, optionally,
# vision_msgs) beside the ROS 2 wheels:
#
#     sh tests/ros/tools.sh SOURCES TARGET
#     ORYX_SCENE_ROS_TOOLS=TARGET sh scripts/test.sh
#
# Needs the workspace of scripts/workspace.sh, whose environment has the ROS 2 build packages.
set -eu
root=$(cd "$(dirname "$0")/../.." && pwd)
sources=$(cd "$1" && pwd)
mkdir -p "$2"
target=$(cd "$2" && pwd)
build=${ORYX_SCENE_BUILD_VENV:-$root/out/ros_ws/venv}
py=$build/bin/python
[ -x "$py" ] || { echo "error: $py is missing: sh scripts/workspace.sh makes it" >&2; exit 1; }

packages=""
for one in launch/launch launch/launch_xml launch/launch_yaml launch_ros/launch_ros \
    launch_ros/ros2launch ros2cli/ros2cli ros2cli/ros2action ros2cli/ros2interface \
    ros2cli/ros2lifecycle ros2cli/ros2node ros2cli/ros2param ros2cli/ros2pkg ros2cli/ros2run \
    ros2cli/ros2service ros2cli/ros2topic rosidl_runtime_py; do
    packages="$packages $sources/$one"
done
# Unquoted: a list of folders.
"$py" -m pip install --quiet --disable-pip-version-check --no-deps --upgrade \
    --target "$target/python" $packages
"$py" -m pip install --quiet --disable-pip-version-check --upgrade --target "$target/python" \
    argcomplete osrf-pycommon packaging psutil
"$py" -m pip install --quiet --disable-pip-version-check ros-rcl-interfaces

interfaces() {
    PATH=$build/bin:$PATH cmake -G Ninja -S "$1" -B "$target/build/$2" \
        -DCMAKE_INSTALL_PREFIX="$target/prefix" -DBUILD_TESTING=OFF -DPython3_EXECUTABLE="$py" \
        -DCMAKE_PROJECT_INCLUDE="$root/ros/oryx_scene_msgs/wheel_paths.cmake"
    PATH=$build/bin:$PATH cmake --build "$target/build/$2" -j1
    PATH=$build/bin:$PATH cmake --install "$target/build/$2"
}
interfaces "$sources/rcl_interfaces/composition_interfaces" composition_interfaces
[ ! -d "$sources/vision_msgs" ] || interfaces "$sources/vision_msgs/vision_msgs" vision_msgs
