#!/bin/sh
# Builds the packages in ros/ with colcon in an ordinary workspace (out/ros_ws), on a machine without
# a ROS distribution. On a robot this is just `colcon build`; see docs/ros_build.md.
set -eu
root=$(cd "$(dirname "$0")/.." && pwd)
. "$root/scripts/env.sh"

workspace=$root/out/ros_ws
# An environment of its own: colcon brings test plugins that the project's tests do not want.
VENV=$workspace/venv
make_venv
if reason=$(ros_wheels_missing); then
    fail "$reason"
fi
need_compiler
say "Installing colcon and the build packages"
pip_install -r "$root/ros/workspace_requirements.txt"
mkdir -p "$workspace/src"
ln -sfn "$root/ros" "$workspace/src/oryx_scene"

say "colcon build in $workspace"
cd "$workspace"
# What another environment left behind must not be seen.
PATH=$venv/bin:$PATH
export PATH
unset PYTHONPATH AMENT_PREFIX_PATH CMAKE_PREFIX_PATH _ROS_WHEELS_BOOTSTRAP_COMPLETE
colcon build --base-paths src --executor sequential --event-handlers console_direct+ --cmake-args \
    -G Ninja -DBUILD_TESTING=OFF -DPython3_EXECUTABLE="$py" \
    -DCMAKE_PROJECT_INCLUDE="$root/ros/oryx_scene_msgs/wheel_paths.cmake" \
    >build.log 2>&1 || { tail -40 build.log >&2; fail "colcon build failed; all of it: $workspace/build.log"; }
say "Ready: . $workspace/install/setup.sh"
